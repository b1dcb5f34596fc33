"""Texts over which an exported encoder is compared with the model it was made from: short, long, odd."""

PARITY_TEXTS: tuple[str, ...] = (
    "Printer on the second floor does not print",
    "Outlook asks for the password again and again after the password was changed yesterday. "
    "Restarting the computer did not help. Webmail works with the new password.",
    "VPN",
    "How do I reset my password?",
    "Blue screen 0x0000007E after the update KB5031356 on laptop LT-2231, twice this morning",
    'Traceback (most recent call last):\n  File "/srv/app/main.py", line 12, in <module>\n'
    "    connect(host='db-01.example.org', port=5432)\nTimeoutError: timed out",
    "Neue Mitarbeiterin benötigt Zugriff auf das Laufwerk P: und ein Telefon",
    "共有フォルダーにアクセスできません",
    "please create account for new joiner starting monday, needs mailbox, phone and building access",
    "The web shop is slow. " * 60,
    "Disk usage on server-prod-01 (10.0.1.100) is above 95 %, /var/log grows by 2 GB a day",
    "?",
)
