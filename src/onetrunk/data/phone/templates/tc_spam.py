"""App "spam".

Ham has prices, links, codes and urgency too; spam also comes as a friendly note.
"""
# ruff: noqa: E501  (a template is one line)

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import lines

SPAM = {
    "spam": {
        "train": lines(
            """
            [Congratulations|WINNER]! You have won {money}. Claim now at {url}
            FINAL NOTICE: your {carrier} parcel {tracking} is on hold, pay {money} at {url}
            {org}: your account is locked. Verify your details at {url} [immediately|within {duration}].
            Hot singles in {city} want to meet you. Reply YES to {phone}
            Earn {money} a day from home, no experience needed. Text JOB to {phone}
            Hi {relation}, this is my new number, old phone broke. Can you send {money} urgently?
            Cheap meds, no prescription, worldwide delivery: {url}
            You were selected for a free {product}! Only {number} left, hurry: {url}
            Double your crypto in {duration}, guaranteed. Ask {person} how: {url}
            We noticed a refund of {money} in your name, submit your card at {url}
            URGENT your {app} storage is full, files will be deleted on {date}. Upgrade: {url}
            Dear customer, a loan of {money} is approved without credit check, call {phone}
            Hello dear, I am {person} from {country}, I have a business proposal of {money}
            Your {product} subscription renews for {money}. Not you? Call {phone} now
            Unclaimed inheritance: the late {person} left you {money}. Write to {email}
            Hey it's {person}, vote for my niece, just type your login here {url}
            """
        ),
        "validation": lines(
            """
            Tax office: you are owed {money}. Fill in the form before {date}: {url}
            Lose {number} kilos in {duration} with this one trick! {url}
            I saw your profile and would love to chat, add me: {url}
            {carrier} needs a small fee of {money} to release {tracking}: {url}
            Lucky you, the {product} raffle picked your number. Confirm with {phone}
            Our trader {person} made {money} {day}. Want in? {email}
            """
        ),
        "test": lines(
            """
            Good news, the {org} lottery drew your number, {money} is waiting: {url}
            {app} alert: someone signed in from {country}. If it wasn't you, confirm the password on {url}
            Hello, is this {person}? We met in {city}, I have a tip about gold investments
            Your driving licence expires on {date}, avoid a {money} fine: {url}
            Part-time helpers wanted, {money} weekly, just like videos. Contact {person} at {phone}
            Mum, I dropped my phone in the sink, this is my temporary number. Please transfer {money} before {time}
            Last chance! {product} at {number} % off, stock ends {day} {url}
            Your package could not be delivered because of an incomplete address. Update: {url}
            I'm {person}, a widow in {country}, and would like to donate {money} through you. {email}
            {org} customer survey: five questions and a {money} voucher is yours {url}
            We recorded you through your camera. Pay {money} or everyone sees it
            Hi, sorry to bother you, wrong number? You seem nice though, I trade forex in {city}
            """
        ),
    },
    "ham": {
        "train": lines(
            """
            {carrier}: parcel {tracking} arrives {day} between {time} and {time2}.
            Your {app} code is {code}. Never share it with anyone.
            Can you send me {money} for the {dish}? {person} already paid.
            You won't believe it, {relation} won {money} in the raffle!
            URGENT: {relation} locked out, where are the spare keys?
            The link for the {event}: {url}
            {org}: your invoice of {money} is attached, due on {date}.
            Free {day}? I have a spare ticket for {artist}.
            Dentist reminder: {date} at {time}. Call {phone} to cancel.
            Look at this {product}, only {money}: {url}
            I'm at {place}, where are you?
            Please call {relation} on {phone}, it's important.
            Your {restaurant} order is on its way, {duration}.
            I love {song}, thanks for the tip.
            Did you see the game? What a finish.
            {airline}: {flight} to {city} now departs at {time}.
            """
        ),
        "validation": lines(
            """
            Bank holiday hours at {place}: {time} to {time2}.
            I transferred {money}, should reach your account on {date}.
            {person} said the {product} is in the sale, go quick!
            Prescription ready for collection at {place}.
            Congrats on the new job, so deserved!
            Here is the photo album, password is {code}: {url}
            """
        ),
        "test": lines(
            """
            Last chance to sign up for the {event}, {person} closes the list {day}.
            {org} here: card payment of {money} at {restaurant} on {date}. Reply N if this wasn't you.
            Mum, can I get {money} for the school trip? I need it before {time}
            Hurry up, the {dish} is getting cold!!!
            Win or lose, I'm proud of the team. Pizza on me.
            Your {product} is ready to pick up at {place}, bring the code {code}.
            Hello, is this still {person}'s number? It's {person2}, we met at the {event}.
            Survey for the residents: which colour for the hallway? {url}
            We update your delivery: {carrier} needs a safe place, {tracking}.
            Click the second link in my mail, the first one is dead {url}
            I could not deliver the cake, nobody answered. Try again at {time}?
            Sorry about the wrong number earlier, the keypad is broken.
            """
        ),
    },
}
