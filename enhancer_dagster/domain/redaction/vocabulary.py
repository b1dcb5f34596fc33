"""The words that announce a secret, lead to it, or are said of secrets without being one.

English and German in full, of other languages the word for "password". In the patterns a space is `[ ]`.
"""

import re


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)


PASSWORD = _words(r"""
    (?:
        p[a@]ss?[ _-]?w[o0]rd | passw(?:or|ro)t | pass(?:wor|wr|w)?d | pass[ _-]?(?:phrase|code)
        | kennw(?:ort|örter) | passwörter | wachtwoord | contrase[ñn]a | mot[ ]de[ ]passe | lösenord
        | senha | пароль
    )(?:e?s)?(?!\w)
    | (?<![A-Za-z0-9])(?:p/?w | pwd | p/?word | psw | mdp | pass)(?!\w)
""")
PIN = _words(r"""
    (?<![A-Za-z0-9])(?:
        pin | puk | otp | totp
        | (?:pin | puk | one[- ]?time | verification | security | mfa | 2fa | sms | unlock | door | access
            | bestätigungs | sicherheits | entsperr)[- ]?code
    )(?!\w)
""")
KEY = _words(r"""
    (?<![A-Za-z0-9])(?:
        (?:api | access | client | consumer | app(?:lication)? | secret | account | subscription
        | encryption
            | signing | service | private | master | storage | shared | webhook | admin | aws | jwt)[ _-]?
    ){1,3}(?:key|secret)(?:[ _-]?id)?
    | (?<![A-Za-z0-9])(?:
        secret | apikey | technician[ _-]?key | pre[- ]?shared[- ]?key | psk | wpa2?[- ]?key
        | community[ ]string
        | snmp[ ]community | api[- ]?schlüssel | netzwerk(?:sicherheits)?schlüssel
        | network[ ](?:security[ ])?key
    )(?!\w)
""")
TOKEN = _words(r"""
    (?<![A-Za-z0-9])(?:
        (?:api | access | refresh | auth(?:entication|orization)? | bearer | session | id | bot
        | deploy | personal
            | security | service | x | csrf)[ _-]?
    ){0,3}(?:token | session[ _-]?(?:id|key) | jsessionid | phpsessid)s?(?!\w)
""")

OTHER_THING = _words(r"""
    [ \t-]{0,3}(?:
        polic(?:y|ies) | manager | reset(?![ ](?:to|auf)[ ]) | field | prompt | page | portal | dialog
        | box | screen
        | length | histor | expir | age\b | chang(?!ed\b|e[ ]to[ ]) | sync | safe | database | file
        | protect | tool
        | app\b | vault | link | url | ticket | rules?\b | requirement | richtlinie | server | error
        | attempt
        | filter | hint | hash[ ]sync | type | name | format | id\b | ring | size | rotation | endpoint
        | lifetime
        | service
    )
""")
"""What is named after a password is not one itself: "password manager is KeePass2"."""

LEAD = _words(r"""
    :=|=>|->|→|[:=]{1,2}
    | (?<![\w'])(?:
        is | are | was | were | be | ist | sind | war | lautet | lauten | est | es | é | equals | to
        | auf | from | von
        | now | jetzt | nun | still | noch | again | wieder | heißt | called | namely | nämlich
        | remains | bleibt
    )(?![\w'])
""")
SAYS = frozenset(
    {"is", "are", "was", "were", "ist", "sind", "war", "lautet", "lauten", "est", "es", "é", "heißt"}
)
"""Leads after which any word may be the secret."""

STAYS = frozenset({"now", "jetzt", "nun", "still", "noch", "again", "wieder"})
"""Leads after which one may be, where nothing else stands before them."""

DIRECT = _words(r"""
    ["'\])*_`]{0,4}[ \t]*(?:[(\[][^()\[\]\n]{1,40}[)\]][ \t]*)?
    (?:(?<=[ \t])(?:
        is | are | was | has | had | been | be | should | must | will | ist | war | wurde | wird | set
        | re-?set
        | changed | updated | neu | gesetzt | geändert | zurückgesetzt | now | jetzt | nun | still
        | noch | again
        | wieder | just
    )[ \t]+){0,6}
""")
"""What may stand between an announcement and its lead without another thing being meant."""

CLAUSE_BREAK = re.compile(
    r"[;!?\n]|[.,](?=\s)"
    r"|(?<!\w)(?:and|und|but|aber|because|weil|when|wenn|if|that|dass|then|so|while|which|who)(?!\w)"
)
NOW_IT_IS = re.compile(r"[,.;]? {0,2}(?:and )?(?:it|that)(?:'s| is)(?: now)?", re.IGNORECASE)

VALUE_BEFORE = _words(r"""
    (?<!\S)(?P<value>\S{4,64})[ \t](?:is|as|ist|als)[ \t]
    (?:(?:the | my | your | his | her | our | their | das | mein | dein | sein | ihr | unser)[ \t])?
    (?:(?:new | old | current | temporary | initial | default | neue[srn]? | alte[srn]?)[ \t])?
    (?:pass?[ _-]?word | passwort | kennwort | passwd | pwd | pw | passphrase | passcode)(?!\w)
""")
"""\"hunter2 is my password\"."""

USER_AND_VALUE = _words(r"""
    (?<![A-Za-z0-9])(?:
        credentials? | creds? | log[- ]?ins? | logon | sign[- ]?in | zugangsdaten | anmeldedaten
        | zugang | account
        | user(?:name)?(?:[ ]?[/&+][ ]?(?:password | pass | pw | pwd | kennwort | passwort))?
        | benutzer(?:name)? | konto
    )
    [ \t]?(?:are | is | sind | lauten | ist | [:=] | with | as | mit | als)?
    [ \t]?(?P<user>[A-Za-z][\w.\\@-]{1,63})
    [ \t]?(?:/ | \| | : | , | (?<=[ \t])(?:and|und|with|mit)(?=[ \t]))
    [ \t]?(?P<value>[^\s/|]{4,64})
""")
"""\"Login: admin / hunter2\"."""

UNIT = _words(r"""
    [ \t]{0,3}(?:\([^()]{0,20}\)[ ])?(?:
        % | st\b | nd\b | th\b
        | (?:characters? | chars? | digits? | letters? | signs? | bits? | bytes? | days? | weeks?
        | months? | years?
            | hours? | minutes? | mins? | seconds? | times? | attempts? | users? | people | of | or
            | to | zeichen
            | tage?n? | wochen | monate | stunden | minuten | mal | stellen)\b
    )
""")
CLAUSE_END = re.compile(
    r"""[ \t]*(?:$|\n|[.,;!)\]"'|/](?:\s|$)|[(\[,;|\u2013\u2014-]"""
    r"""|(?:and|und|but|aber|for|für|please|bitte|or|oder|thanks|then)\b)"""
)

_PROSE = """
    a about above account accepted active admin after again all allowed already also always an and another
    any anyway are as ask asked asking asks at attempt auth authentication available back bad be because
    been before being below blank both box but by cannot case changed changes check clear code column
    compromised correct could created currently default denied did different disabled do document does
    done due each either empty enabled encrypted enforced enough enter entered error everywhere exists
    expire expired expires expiry fail failed failing fails failure false fields fine first for forgot
    forgotten form from further generated given good gone had has have having help here him his how
    however identical if immediately in inactive incorrect instead invalid is issue it its just keep kept
    known last later like link locked login long longer look lost made mail manager mandatory may me
    mentioned mine missing must my need needed needs never new next no none not nothing now null ok okay
    old on once one only open optional or other our out over own page per phrase please policy possible
    problem prompt protected provided put ready really recent refused rejected required requirements reset
    right rotated safe same saved secure see send sent set shared short should shown similar simple since
    so some something soon still stored strong such sure sync tell temporary than that the their them then
    there these they this those through time to today tomorrow too true tried try twice unable unchanged
    under unknown unlocked until up updated upon use used user username using valid very via wanted was
    weak well were what when where whether which while who why will with within without working works
    would wrong yes yesterday yet you your abgelaufen aber alle als alt altes am an auf aus bei beim
    bekannt benutzer bitte da damit dann das dass dem den der des die dies diese dieses doch durch ein
    eine einem einen einer er es falsch fehlt für gar geht gelöscht gesperrt gestern geändert gültig hat
    heute ich ihm ihn ihr im immer in ist ja jetzt kann kein keine konnte korrekt leer mehr mein mit muss
    nach neu neue neues nicht noch nun nur ob oder ohne schon sein seit sich sie sind soll trotzdem um und
    ungültig uns unbekannt vergessen verloren vom von vor war warum weder wegen wenn werden wie wieder
    will wir wird wurde zu zum zur zurück zurückgesetzt zwei über
"""
PROSE = frozenset(_PROSE.split())
"""Words that are said about passwords rather than being one."""

INFLECTED = re.compile(r"\w{2,}(?:ed|ing|ly|ble|ive|ful|less|ous|iert|lich|bar|ung|tion|ment|ally)")
