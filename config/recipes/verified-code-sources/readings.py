"""Readings of sensors: parsing and gaps."""

import math


def parse_reading(line):
    """`name=value;name=value` as a dictionary of numbers. Parts without a value are left out."""
    values = {}
    for part in line.split(";"):
        name, separator, value = part.partition("=")
        if separator and value.strip():
            values[name.strip()] = float(value)
    return values


def gaps(times, most=60):
    """Where the time from one reading to the next is longer than usual, as pairs of indexes."""
    found = []
    for index in range(1, len(times)):
        if times[index] - times[index - 1] > most:
            found.append((index - 1, index))
    return found


def rms(values):
    return math.sqrt(sum(value * value for value in values) / len(values))
