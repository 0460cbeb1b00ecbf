"""The people of the demo: who they are, where they work, what they hire for. Pure data."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["recruiter", "company", "candidate", "moderator", "admin"]


@dataclass(frozen=True, slots=True)
class Job:
    """A position on the marketplace."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """A recruiting firm or an employer."""

    id: str
    name: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who chats."""

    id: str
    name: str
    role: Role
    headline: str
    org: Organisation | None = None
    jobs: tuple[Job, ...] = ()

    @property
    def email(self) -> str:
        """An address under a name that can never be real (RFC 2606)."""
        return f"{self.id}@people.example"


NORTHLIGHT = Organisation("org_northlight", "Northlight Search", verified=True)
KEYSTONE = Organisation("org_keystone", "Keystone Talent", verified=False)
HELIO = Organisation("org_helio", "Helio Robotics", verified=True)
FJORD = Organisation("org_fjord", "Fjord Analytics", verified=True)
TIDEWATER = Organisation("org_tidewater", "Tidewater Health", verified=True)
SPLITS = Organisation("org_splits", "Splits Network", verified=True)

BACKEND = Job("job_2041", "Senior Backend Engineer")
PLATFORM = Job("job_2057", "Platform Engineer")
PRODUCT_DESIGN = Job("job_2063", "Lead Product Designer")
FIRMWARE = Job("job_2088", "Embedded Firmware Engineer")
DATA = Job("job_2102", "Staff Data Engineer")
CARE_OPS = Job("job_2119", "Clinical Operations Manager")

PEOPLE: tuple[Person, ...] = (
    Person("maya.lindqvist", "Maya Lindqvist", "recruiter", "Engineering search, Nordics", NORTHLIGHT,
           (BACKEND, PLATFORM)),
    Person("tomas.herrera", "Tomás Herrera", "recruiter", "Robotics and hardware search", NORTHLIGHT,
           (FIRMWARE,)),
    Person("priya.raman", "Priya Raman", "recruiter", "Design and product search", KEYSTONE,
           (PRODUCT_DESIGN,)),
    Person("hannah.weiss", "Hannah Weiss", "company", "Head of People", HELIO, (FIRMWARE,)),
    Person("kwame.boateng", "Kwame Boateng", "company", "Engineering Manager", FJORD, (DATA, BACKEND)),
    Person("sofia.marchetti", "Sofia Marchetti", "company", "Talent Lead", TIDEWATER, (CARE_OPS,)),
    Person("elena.petrova", "Elena Petrova", "candidate", "Backend engineer, Go and Postgres"),
    Person("luca.ferrari", "Luca Ferrari", "candidate", "Product designer"),
    Person("aisha.bello", "Aisha Bello", "candidate", "Data engineer"),
    Person("noah.kim", "Noah Kim", "candidate", "Nurse manager"),
    Person("yuki.tanaka", "Yuki Tanaka", "candidate", "Firmware engineer"),
    Person("ingrid.solberg", "Ingrid Solberg", "moderator", "Trust and Safety", SPLITS),
)  # fmt: skip

BY_ID: dict[str, Person] = {person.id: person for person in PEOPLE}
JOBS: dict[str, Job] = {job.id: job for person in PEOPLE for job in person.jobs}
