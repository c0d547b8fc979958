"""What a slot of each kind is called: in the weak NER data, and in each NER app."""

from __future__ import annotations

# ``name``, ``town`` and ``day`` are ``person``, ``city`` and ``date`` by another name, so that an
# app may leave one of the two untagged.
CONCEPTS: dict[str, str] = {
    "person": "person",
    "name": "person",
    "relation": "relation",
    "date": "date",
    "day": "date",
    "time": "time",
    "duration": "duration",
    "place": "location",
    "city": "city",
    "town": "city",
    "country": "country",
    "address": "street_address",
    "org": "organization",
    "event": "event",
    "phone": "phone_number",
    "email": "email_address",
    "url": "url",
    "tracking": "tracking_number",
    "carrier": "carrier",
    "product": "product",
    "dish": "dish",
    "restaurant": "restaurant",
    "money": "amount_of_money",
    "song": "song",
    "artist": "artist",
    "movie": "movie",
    "app": "app",
    "airline": "airline",
    "flight": "flight_number",
    "code": "verification_code",
}

# A kind that an app does not list stays untagged there.
APP_CONCEPTS: dict[str, dict[str, str]] = {
    "calendar": {
        "event": "event",
        "date": "date",
        "day": "date",
        "time": "time",
        "place": "place",
        "restaurant": "place",
        "person": "attendee",
        "relation": "attendee",
    },
    "contact": {
        "person": "person",
        "name": "person",
        "phone": "phone",
        "email": "email",
        "address": "address",
        "tracking": "tracking_number",
        "carrier": "carrier",
    },
}
