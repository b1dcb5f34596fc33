"""The named values of a service desk: statuses, priorities, groups, sites, people.

A value that is not in it is refused, as recorded with `level`.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

from enhancer_dagster.simulator.answers import Json, invalid_input
from enhancer_dagster.simulator.dialects import Dialect

_FIRST_NEW = 9001


class Directory:
    """Finds the named value that an input means.

    Args:
        dialect: How values are shown.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._numbers: Iterator[int] = count(_FIRST_NEW)
        self._people: dict[str, Json] = {}
        self._values: dict[str, list[Json]] = {}
        for field, entries in dialect.catalogue().items():
            show = dialect.technician if field == "technician" else None
            self._values[field] = [
                show(number, name) if show else dialect.reference(field, number, name)
                for number, name in entries
            ]
        number, name = dialect.catalogue()["technician"][-1]
        self.administrator = dialect.person(number, name)

    def find(self, field: str, given: Any) -> Json | None:
        """The value that `{"id": …}`, `{"name": …}` or null means; the id counts first.

        Raises:
            Refusal: There is none, or the input is of another form.
        """
        if given is None:
            return None
        if not isinstance(given, dict):
            raise invalid_input(field)
        for key in ("id", "email_id", "name"):
            wanted = given.get(key)
            if wanted not in (None, ""):
                for value in self._values[field]:
                    if value.get(key) == str(wanted):
                        return value
        raise invalid_input(field)

    def named(self, field: str, name: str) -> Json:
        """The value of this name; a new one where there is none, as an administrator would add it."""
        for value in self._values[field]:
            if value["name"] == name:
                return value
        number = next(self._numbers)
        is_technician = field == "technician"
        value = (
            self._dialect.technician(number, name)
            if is_technician
            else self._dialect.reference(field, number, name)
        )
        self._values[field].append(value)
        return value

    def requester(self, given: Any) -> Json:
        """The person that the input means; someone unknown is added, the administrator's own id is known.

        Raises:
            Refusal: The input is not an object with a name, an e-mail address or a known id.
        """
        if not isinstance(given, dict):
            raise invalid_input("requester")
        if str(given.get("id", "")) == self.administrator["id"]:
            return self.administrator
        key = given.get("email_id") or given.get("name")
        if not isinstance(key, str) or not key:
            raise invalid_input("requester")
        if key == self.administrator["name"]:
            return self.administrator
        if key not in self._people:
            name = given.get("name") or key
            self._people[key] = self._dialect.person(next(self._numbers), name, given.get("email_id"))
        return self._people[key]
