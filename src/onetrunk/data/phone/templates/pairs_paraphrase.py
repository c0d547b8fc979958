"""Paraphrases: any two lines of a group ask for, or say, the same thing."""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import groups

PARAPHRASES = groups(
    """
    Can you wake me up at {time}?
    I'd like an alarm at {time}.
    My alarm should go off at {time}.
    Please have my clock ring at {time}.

    Please remind me to {task} {day}.
    I mustn't forget to {task} {day}.
    Could you set a reminder for {day}: {task}?
    Ping me {day} so I {task}.

    What will the weather be like in {city} {day}?
    Weather forecast {city}, {day}.
    Is it going to be nice in {city} {day}?
    Any rain coming to {city} {day}?

    Where has my parcel {tracking} got to?
    I'm waiting for shipment {tracking}, when does it come?
    Please check the delivery status of {tracking}.

    Let's have {dish} {day}.
    I fancy {dish} {day}, do you?
    How would you feel about eating {dish} {day}?
    {dish} {day}, anyone?

    Play {song} by {artist}.
    I'd love to listen to {song} from {artist}.
    Start the {artist} track called {song}.

    Could you ring {person} for me?
    I need to talk to {person} on the phone.
    Make a call to {person}, please.

    I'm running {duration} late.
    Sorry, I'll be there {duration} after we agreed.
    Expect me with a delay of {duration}.
    Start without me, I need {duration} more.

    The {event} was cancelled.
    There won't be any {event} after all.
    Sadly they called off the {event}.
    No {event} this time, it's off.

    The {event} moved to {date}.
    They postponed the {event}, it's on {date} now.
    New date for the {event}: {date}.

    How do I get to {place} from here?
    I need directions to {place}.
    Show me the way to {place}.
    Which road leads to {place}?

    You owe me {money} for the {dish}.
    Could you pay me back the {money} for the {dish}?
    I covered your {dish}, that makes {money}.

    Transfer {money} to {person}.
    Send {person} a payment of {money}.
    {person} should get {money} from my account.

    My flight {flight} is delayed by {duration}.
    {flight} takes off {duration} later than planned.
    We're stuck, {flight} won't leave for another {duration}.

    Has {person} answered yet?
    Any reply from {person} so far?
    Did you hear back from {person}?

    My new number is {phone}.
    From now on reach me on {phone}.
    I changed my phone number, it's {phone}.
    Please save {phone}, that's me.

    Happy birthday, {person}!
    Many happy returns, {person}!
    {person}, have a wonderful birthday!

    {app} doesn't open any more.
    I can't start {app} since the update.
    Every time I launch {app} it crashes.

    I forgot my password for {app}.
    How can I log back in to {app} without the password?
    Please reset my {app} login.

    I want to send back the {product}.
    How does the return of the {product} work?
    The {product} is not what I expected, I'd like a refund.

    Turn the {lamp} off.
    The {lamp} shouldn't be on.
    Please stop the {lamp}.

    How do I say {phrase} in {language}?
    Give me the {language} words for {phrase}.
    I need {language} help: {phrase}

    Book a table at {restaurant} for {time}.
    Please reserve at {restaurant}, we arrive at {time}.
    We'd like to eat at {restaurant} at {time}, make a booking.

    Set a timer for {duration}.
    Count down {duration}.
    Tell me when {duration} are over.

    Has {relation} arrived in {city}?
    Is {relation} already in {city}?
    Any sign of {relation} in {city} yet?

    I lost my {product} at {place}.
    My {product} must still be at {place}.
    Did anyone at {place} find a {product}?

    {movie} was really boring.
    I nearly fell asleep watching {movie}.
    Don't bother with {movie}, it drags.

    {restaurant} was fantastic.
    We loved the food at {restaurant}.
    Can't recommend {restaurant} enough.

    I'm ill and can't come to the {event}.
    I caught something, so count me out for the {event}.
    Have to skip the {event}, I feel dreadful.

    We're moving to {country} on {date}.
    On {date} we start our new life in {country}.
    Big news: {country} will be our home from {date}.

    Read me my latest messages.
    What did people write to me?
    Any new texts?

    Make the screen brighter.
    I can hardly see the display.
    Turn the brightness up.

    My battery is almost flat.
    The phone is about to die.
    I've got two percent left.

    Take a photo of us.
    Could you snap a picture of our group?
    Open the camera, we want a selfie.

    I can't sleep.
    Wide awake in the middle of the night again.
    Counting sheep doesn't work.

    Please be quiet in meetings, phone.
    Mute all notifications.
    I don't want to be disturbed right now.

    {person} left {org}.
    {person} no longer works at {org}.
    {org} has lost {person}.

    Is {place} open on {date}?
    Opening hours of {place} on {date}?
    Can I still go to {place} on {date}?

    Find photos from {country}.
    Show the pictures I took in {country}.
    Where are my {country} snaps?

    I'd like to cancel my order with {org}.
    Please stop the purchase I made at {org}.
    {org}, I changed my mind, don't ship it.
    """
)
