"""Loans and shelves of a small library."""

from dataclasses import dataclass


@dataclass
class Loan:
    title: str
    borrower: str
    days: int


def overdue_fine(loan, free_days=21, rate=25, cap=1000):
    """The fine in cents: nothing during the free days, then a rate for each day, up to a cap."""
    late = max(0, loan.days - free_days)
    return min(cap, late * rate)


def by_borrower(loans):
    """The titles that each borrower has, in the order of the loans."""
    held = {}
    for loan in loans:
        held.setdefault(loan.borrower, []).append(loan.title)
    return held


def is_late(loan): return loan.days > 21
