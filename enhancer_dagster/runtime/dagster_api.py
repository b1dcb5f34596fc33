"""A running system's Dagster, asked over the API of its UI: to rebuild a tenant's index now."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import yaml

from enhancer_dagster.domain.errors import PermanentError, TransientError

ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
POLL_SECONDS = 1.0
_TIMEOUT_SECONDS = 30.0
_PARTITIONS = "tenants"
_PULLS = ("resolved_tickets", "kb_articles", "ip_inventory")
_REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "enhancer"}
_ADD_PARTITION = """mutation($repository: RepositorySelector!, $partitions: String!, $key: String!) {
    addDynamicPartition(repositorySelector: $repository, partitionsDefName: $partitions, partitionKey: $key) {
        __typename ... on PythonError { message } } }"""
_THERE_NOW = {"AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"}
_LAUNCH = """mutation($it: ExecutionParams!) { launchRun(executionParams: $it) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_FOLLOW = """query($run: ID!, $after: String) {
    runOrError(runId: $run) { ... on Run { status } }
    logsForRun(runId: $run, afterCursor: $after) { ... on EventConnection { cursor events {
        ... on LogMessageEvent { message }
        ... on ExecutionStepFailureEvent {
            stepKey error { message } failureMetadata { description } } } } } }"""


class DagsterApi:
    """The API behind the UI at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def answers(self) -> bool:
        """Whether the system is up."""
        try:
            return httpx.get(f"{self._url}/server_info", timeout=_TIMEOUT_SECONDS).is_success
        except httpx.HTTPError:
            return False

    def url_of(self, run_id: str) -> str:
        """Where the UI shows a run."""
        return f"{self._url}/runs/{run_id}"

    def launch_rebuild(self, tenant_id: str, *, full: bool, allow_shrinking: bool) -> str:
        """Queue a run of the job for one tenant; its id.

        Raises:
            TransientError: The API cannot be reached.
            PermanentError: It does not take the run.
        """
        self._add_partition(tenant_id)
        ops = {name: {"config": {"full": full}} for name in _PULLS}
        ops["ticket_index"] = {"config": {"allow_shrinking": allow_shrinking}}
        tags = {"dagster/partition": tenant_id, "tenant_id": tenant_id, "full": str(full).lower()}
        parameters = {
            "mode": "default",
            "selector": {**_REPOSITORY, "jobName": "rebuild_index_job"},
            "runConfigData": yaml.safe_dump({"ops": ops}),
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        launched = self._ask(_LAUNCH, it=parameters)["launchRun"]
        if launched["__typename"] != "LaunchRunSuccess":
            raise PermanentError(launched.get("message") or f"Dagster says {launched['__typename']}")
        return launched["run"]["runId"]

    def follow(self, run_id: str, tell: Callable[[str], None]) -> None:
        """Wait for a run's end, telling what its log says.

        Raises:
            TransientError: The API cannot be reached.
            PermanentError: The run failed or was cancelled; the message says which step and why.
        """
        cursor, failures, status = None, list[str](), ""
        while status not in ENDED:
            answer = self._ask(_FOLLOW, run=run_id, after=cursor)
            status, page = answer["runOrError"]["status"], answer["logsForRun"]
            cursor = page["cursor"]
            for event in filter(None, page["events"]):
                if "message" in event:
                    tell(event["message"])
                else:
                    failures.append(_failure(event))
            time.sleep(POLL_SECONDS if status not in ENDED else 0)
        if status != "SUCCESS":
            why = "; ".join(failures) or f"it ended as {status}"
            raise PermanentError(f"{why}: see {self.url_of(run_id)}")

    def _add_partition(self, tenant_id: str) -> None:
        """A tenant that was added a moment ago has none until the sensor has seen it."""
        key = {"partitions": _PARTITIONS, "key": tenant_id}
        added = self._ask(_ADD_PARTITION, repository=_REPOSITORY, **key)["addDynamicPartition"]
        if added["__typename"] not in _THERE_NOW:
            raise PermanentError(added.get("message") or f"Dagster says {added['__typename']}")

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        try:
            answer = httpx.post(
                f"{self._url}/graphql",
                json={"query": query, "variables": variables},
                timeout=_TIMEOUT_SECONDS,
            )
            body = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise TransientError(f"the Dagster UI at {self._url} does not answer: {error}") from error
        if "errors" in body:
            raise PermanentError(f"Dagster's API: {body['errors'][0]['message']}")
        return body["data"]


def _failure(event: dict[str, Any]) -> str:
    told = (event["failureMetadata"] or {}).get("description") or event["error"]["message"]
    return f"{event['stepKey']}: {told.strip()}"
