"""App "calendar": event, date, time, place, attendee.

``{name}``, ``{town}`` and ``{duration}`` are values that are *not* tagged here: neither attendees
nor venues.
"""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import lines

CALENDAR = {
    "train": lines(
        """
        [Don't forget|Remember] the {event} on {date} at {time}.
        {event} with {person} {day}, {time} at {place}.
        Can we move the {event} to {date}? {time} suits me.
        The {event} has been moved from {date} to {date2}, same time: {time}.
        [Are you in for|Fancy] the {event} {day}? {person} and {person2} are coming too.
        Let's meet at {place} {day} at {time}.
        I invited {person} and {relation} to the {event}.
        {name} says the {event} is on {date}, not {date2}.
        Lunch with {person} at {restaurant} on {date}, {time}?
        You are invited: {event}, {place}, {date}, {time} to {time2}.
        Dr {name}'s office: your {event} is confirmed for {date} at {time}.
        Can {person} join us at {time} instead of {time2}?
        Pick up {relation} from {place} at {time} [please|if you can].
        Booked: {event} on {date} or {date2}, whichever suits {person}.
        {name} cancelled, so the {event} {day} is just you and {person}.
        Subject: {event} {date}. Location: {place}.
        I'm in {town} until {date}, back for the {event}.
        We need {duration} for the {event}, so start at {time}.
        Bring snacks to the {event} {day}, {name} bakes something.
        Meeting {relation} outside {place} at {time}.
        [I may|I might] march over there in a second.
        {name} just sent me the funniest picture.
        Do you remember {name} from {town}? Ran into each other at the shops.
        One day I'll learn to cook, I swear.
        What a lovely time we had with {name}.
        These meetings never end, I'm losing my mind.
        It took {duration} to find a parking spot.
        Can you send {name} the file? The last one was broken.
        Give it a rest, nobody died.
        {name} asked about the {product} again.
        """
    ),
    "validation": lines(
        """
        Put the {event} down for {date}, please, {time} sharp.
        {person} would like to see you at {place} on {date}.
        Is {time} still okay for the {event}, or rather {time2}?
        Heads up, {relation} will be at the {event} as well.
        New slot for your {event}: {date}, {time}, {place}.
        We pushed it back a week: {event} now happens on {date}.
        According to {name}, {place} was fully booked.
        {name} never answers. Typical.
        In the sun for {duration} and I look like a lobster.
        Your turn to choose, last time was mine.
        """
    ),
    "test": lines(
        """
        Keep {date} free, we are throwing a {event} for {person}.
        How about {day} then? {place}, [say|maybe] {time}.
        Neither {date} nor {date2} works, could the {event} wait?
        {relation} can only do {time}, so tell {name} to start the {event} without us.
        Your {event} starts in {duration}: {place}, {time}.
        {person}, {person2} and {relation} accepted the invitation to {event}.
        Either {time} or {time2} on {date}, said {name}.
        Rescheduled! Old: {event} {date} {time}. New: {date2} {time2}.
        [Table|Drinks] for four at {restaurant}, {day}, under the name {name}.
        Don't be late for the {event} like you were on {date}.
        {name} told {name2} that {person} was hosting the {event} over at {place}.
        Swing by {place} once you finish, {relation} arrives at {time}.
        Whoever is not in {town} {day} has to come to the {event}.
        From {time} until {time2} I am at {place} with {person}.
        That party was legendary, {name} is still recovering.
        May I borrow {name}'s ladder for a minute?
        {town} was gorgeous, we walked for {duration}.
        March, march, march, that's all they did in the film.
        I second that, and so does {name}.
        The appointment system at work is down, what a mess.
        """
    ),
}
