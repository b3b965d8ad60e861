"""Customer support by three agents that react to each other through a shared memory.

    python examples/support_tickets.py [--store TARGET]

The tickets are invented and stand below, and the judgement is scripted: what an agent would ask a language model is a
few lines of Python here. Everything else is what such a team would run.

- *Triage* reads each ticket, judges how its customer feels, and remembers that as `customer_<id>_sentiment`.
- *Escalation* reacts to it: who has become angry gets an offer, told as `order_<id>_status`, in the customer's language.
- *Analytics* reacts to both, and tells at the end what happened, with the audit trail of one customer.

Each is a process of its own. What concerns this run is in the workflow's memory; what is known of a customer (the
language) is in the actor's, and what holds for everybody (English) in the global one: who asks gets the first of these.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections import Counter

from pydantic import BaseModel

import ccs

TIMEOUT = 30.0


class Ticket(BaseModel):
    """What a customer writes about an order."""

    customer: str
    order: str
    text: str


class Sentiment(BaseModel):
    """How a customer feels, as triage judges it."""

    mood: str
    order: str
    because: str


class Status(BaseModel):
    """Where an order stands."""

    state: str
    note: str


TICKETS = [
    Ticket(customer="ann", order="17", text="Where is my order? Thanks for looking into it!"),
    Ticket(customer="bob", order="18", text="The lamp arrived broken."),
    Ticket(customer="cem", order="19", text="Great service, thank you."),
    Ticket(customer="ann", order="17", text="Still nothing. This is unacceptable."),
    Ticket(customer="bob", order="18", text="Thank you for the photos form, sent."),
    Ticket(customer="dia", order="20", text="Unacceptable: twice the wrong size. I want my money back."),
    Ticket(customer="ann", order="17", text="It has come. Thanks after all."),
]
LANGUAGES = {"ann": "nl"}
GREETINGS = {"en": "we are sorry", "nl": "het spijt ons"}


# --- the three programs -----------------------------------------------------------------------------------------------


def triage(target: str, workflow: str) -> None:
    """Judges each ticket, one after the other, and says when all are judged."""
    with ccs.connect(target, agent="triage") as store:
        for ticket in TICKETS:
            memory = store.memory(workflow=workflow, actor=ticket.customer)
            memory.set(f"customer_{ticket.customer}_sentiment", judge(ticket), scope="workflow")
        store.memory(workflow=workflow).set("judged", len(TICKETS))


def escalation(target: str, workflow: str) -> None:
    """Makes an offer to whoever has become angry."""
    with ccs.connect(target, agent="escalation") as store:
        memory = store.memory(workflow=workflow)

        @memory.on_change("customer_*_sentiment", scope="workflow")
        def offer(event: ccs.MemoryEvent) -> None:
            sentiment, customer = Sentiment.model_validate(event.data), event.key.split("_")[1]
            was = event.previous_data and event.previous_data["mood"]
            if sentiment.mood == "angry" and was != "angry":
                language = store.memory(workflow=workflow, actor=customer).get("language")
                status = Status(state="refund offered", note=f"{GREETINGS[language]}, {customer}")
                memory.set(f"order_{sentiment.order}_status", status)
            store.task(workflow).increment("considered")

        memory.set("escalation", "ready")
        store.task(workflow).wait_for("report", timeout=TIMEOUT)


def analytics(target: str, workflow: str) -> None:
    """Counts what happens while it happens, and tells it at the end."""
    with ccs.connect(target, agent="analytics") as store:
        memory, moods, offers = store.memory(workflow=workflow), Counter[str](), list[str]()

        @memory.on_change("customer_*_sentiment", "order_*_status", scope="workflow")
        def count(event: ccs.MemoryEvent) -> None:
            if event.key.startswith("customer_"):
                moods[event.data["mood"]] += 1
            else:
                offers.append(f"order {event.key.split('_')[1]}: {event.data['state']} ({event.data['note']})")
            store.task(workflow).increment("counted")

        memory.set("analytics", "ready")
        task = store.task(workflow)
        task.wait_for("considered", len(TICKETS), timeout=TIMEOUT)
        told = len(memory.history("customer_*_sentiment", "order_*_status", scope="workflow"))
        task.wait_for("counted", told, timeout=TIMEOUT)
        lines = [f"{mood}: {moods[mood]}" for mood in sorted(moods)] + sorted(offers)
        memory.set("report", [*lines, "", "ann, step by step:", *trail(memory, "ann")])


def judge(ticket: Ticket) -> Sentiment:
    """What a language model would be asked."""
    words = ticket.text.lower()
    if "unacceptable" in words:
        return Sentiment(mood="angry", order=ticket.order, because="unacceptable")
    if "thank" in words:
        return Sentiment(mood="pleased", order=ticket.order, because="thanks")
    return Sentiment(mood="neutral", order=ticket.order, because="nothing said")


def trail(memory: ccs.Memory, customer: str) -> list[str]:
    """The audit trail of a customer: who said what, in which order."""
    events = memory.history(f"customer_{customer}_*", scope="workflow")
    before = [event.previous_data["mood"] if event.previous_data else "unknown" for event in events]
    return [f"{event.agent}: {was} → {event.data['mood']}" for event, was in zip(events, before, strict=True)]


# --- the demo of it: three processes ----------------------------------------------------------------------------------


def main() -> int:
    """Start the three, wait for them, and show the report."""
    parser = argparse.ArgumentParser(description="Customer support by three agents with a shared memory.")
    parser.add_argument("--store", metavar="TARGET", help="a folder or a redis:// URL (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        report = support(arguments.store or scratch)
    print("\n".join(report))
    return 0


def support(target: str) -> list[str]:
    """Run the three programs on a workflow of their own; the report."""
    workflow = f"support-{multiprocessing.current_process().pid}"
    spawn = multiprocessing.get_context("spawn")
    with ccs.connect(target, agent="shop") as store:
        store.memory().set("language", "en", scope="global")
        for customer, language in LANGUAGES.items():
            store.memory(actor=customer).set("language", language)
        task = store.task(workflow)
        agents = [spawn.Process(target=agent, args=(target, workflow)) for agent in (escalation, analytics, triage)]
        for agent in agents[:2]:
            agent.start()
        task.wait_for("escalation", timeout=TIMEOUT)
        task.wait_for("analytics", timeout=TIMEOUT)
        agents[2].start()
        report: list[str] = task.wait_for("report", timeout=TIMEOUT).value
        for agent in agents:
            agent.join()
        task.finish("reported", keep=60)
    return report


if __name__ == "__main__":
    sys.exit(main())
