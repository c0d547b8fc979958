"""Voice commands and, after ">", descriptions that fit any command of the group."""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import groups

COMMANDS = groups(
    """
    alarm {time} please
    get me up at {time}
    > The user wants to be woken at {time}; an alarm is set.

    in {duration} I need to {task}
    remember for me: {task}
    > Adds a reminder about a chore: {task}.

    text {person}: {saying}
    let {person} read this: {saying}
    > A message goes to {person} that says: {saying}

    ring up {person}
    put me through to {person}
    > Starts a phone call with {person}.

    some music by {artist}
    I feel like {artist}
    > Plays songs of the band or singer {artist}.

    is it sunny in {city}
    what should I wear in {city} {day}
    > Looks up the weather forecast for {city}.

    bring me to {address}
    route to {address}
    > Opens the map and gives directions to {address}.

    {event} {date} {time} in the calendar
    keep {time} on {date} clear, {event}
    > Creates a calendar entry called {event} on {date}.

    what about parcel {tracking}
    find out where {carrier} has {tracking}
    > Asks the carrier for the delivery status of {tracking}.

    hungry for {dish}
    {dish} from {restaurant}, same as always
    > Places a food order: {dish}.

    {phrase} in {language} please
    how would a local in {country} say {phrase}
    > Translates a sentence into a foreign language: {phrase}.

    lights out, {lamp} too
    no more {lamp}
    > Switches off a device at home, the {lamp}.

    timer {duration}
    beep after {duration}
    > Starts a countdown of {duration}.

    open {app}
    I want to use {app}
    > Launches the application {app}.

    uninstall {app}
    I never use {app}, throw it away
    > Removes the application {app} from the phone.

    pay {person} {money}
    settle my debt of {money} with {person}
    > Transfers {money} to {person}'s account.

    what did I spend at {restaurant}
    how much money went to {restaurant}
    > Sums up card payments made at {restaurant}.

    show me pictures of {relation}
    photos with {relation} in {city}
    > Searches the gallery for images of {relation}.

    read the news
    what happened in {country}
    > Reads out current headlines.

    louder
    I can't hear a thing
    > Raises the volume of the speaker.

    silence please
    be quiet until {time}
    > Turns on the do-not-disturb mode.

    lamp on the back
    it's pitch dark, help
    > Switches on the torch.

    how many steps {day}
    did I move enough this week
    > Reports the activity counted by the step sensor.

    book {flight} window seat
    get me on {airline} to {city}
    > Makes a flight reservation.

    check in for {flight}
    boarding pass {flight} please
    > Fetches the boarding card for flight {flight}.

    what does {event} clash with
    am I busy on {date}
    > Checks the calendar for conflicting appointments.

    cancel the {event}
    get rid of {event} on {date}
    > Deletes the entry {event} from the calendar.

    who called at {time}
    list missed calls
    > Displays the recent call history.

    save {phone} as {person}
    new contact {person} {phone}
    > Stores the number {phone} in the address book under {person}.

    block {phone}
    I don't want {phone} to reach me
    > Rejects future calls from {phone}.

    mail {email} about the {event}
    compose something to {email}
    > Drafts an e-mail to {email}.

    what's {number} percent of {money}
    split {money} by {number}
    > Does a calculation with an amount of money.

    add {product} to my list
    we are out of {dish}
    > Puts an item on the shopping list.

    cheapest {product} around
    where can I buy a {product}
    > Compares shop offers for a {product}.

    trailer of {movie}
    when is {movie} on
    > Searches for information about the film {movie}.

    free up some space
    my storage is full
    > Cleans unused files off the device.

    connect to the wifi at {place}
    I need internet at {place}
    > Joins a wireless network.

    call a cab to {place}
    I need a ride to {place} at {time}
    > Orders a taxi to {place}.

    what's on my screen
    describe this picture
    > Explains the visible image in words.

    repeat that
    say it again, slower
    > Speaks the last answer once more.
    """
)
