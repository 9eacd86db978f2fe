"""Stage registry: brings a stage up when something is told to it, and all that are busy at a start;
forgets it when it is put away."""

from typing import Final

import structlog
import trio

from actors.ports import StoreUnavailable
from actors.runtime.mailbox import MailboxClosed
from actors.stage.actor import StageActor, StagePorts
from actors.stage.messages import ModelPresent, StageMessage

LOOK_INTERVAL_S: Final = 15.0
"""For stages on which something waits and that nobody has woken: after a start above all."""


class StageRegistry:
    """Implements actors.ports.ModelWatcher. `tell` never waits; what was told is answered."""

    def __init__(self, ports: StagePorts, nursery: trio.Nursery) -> None:
        self._ports = ports
        self._nursery = nursery
        self._actors: dict[str, StageActor] = {}
        self._present: set[str] = set()
        self._log = structlog.get_logger("tiproom.stages")

    def __len__(self) -> int:
        """How many stages are awake."""
        return len(self._actors)

    def tell(self, model_id: str, message: StageMessage) -> None:
        """To this model's stage, brought up if it sleeps. Raises MailboxFull."""
        # Before it comes up: one that finds nothing to do and no message goes to sleep again.
        self._awake(model_id).mailbox.put(message)

    def model_present(self, model_id: str, present: bool) -> None:
        (self._present.add if present else self._present.discard)(model_id)
        actor = self._actors.get(model_id)
        if actor is None:
            return
        actor.present = present
        try:
            actor.mailbox.put_always(ModelPresent(present))
        except MailboxClosed:
            return

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled: a deadline of a stage is kept also where nobody asks for it."""
        task_status.started()
        while True:
            try:
                for model_id in await self._ports.store.busy_stages():
                    self._awake(model_id)
            except StoreUnavailable:
                self._log.warning("stages_wait")
            await trio.sleep(LOOK_INTERVAL_S)

    def _awake(self, model_id: str) -> StageActor:
        actor = self._actors.get(model_id)
        if actor is None or actor.mailbox.closed:
            present = model_id in self._present
            actor = self._actors[model_id] = StageActor(model_id, self._ports, present=present)
            self._nursery.start_soon(self._run, actor)
        return actor

    async def _run(self, actor: StageActor) -> None:
        await actor.run()
        if self._actors.get(actor.model_id) is actor:
            del self._actors[actor.model_id]
