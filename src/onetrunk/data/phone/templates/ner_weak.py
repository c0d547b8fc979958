"""Weak NER (training only): messages with entities of every concept, and a few with none."""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import lines

WEAK = lines(
    """
    {person} is coming over {day} [around|about|at] {time}.
    Did {relation} tell you that {person} moved to {city}?
    Can you pick up {relation} from {place} at {time}?
    We booked a table at {restaurant} for {time} on {date}.
    I had the {dish} at {restaurant}, it was [amazing|awful|fine].
    The {dish} costs {money}, the {dish2} only {money2}.
    Your order from {restaurant} ({dish}) arrives in {duration}.
    [Your|The] parcel {tracking} is out for delivery with {carrier}.
    {carrier} says {tracking} will be delivered [by|on] {date}.
    {carrier}: we missed you. Collect {tracking} at {address}.
    Where is my {product}? {carrier} lost it, I bet.
    My {product} from {org} still hasn't shipped. The order was {money}.
    {org} refunded {money} for the {product}.
    I paid {money} with {app} [yesterday|just now].
    Install {app} and sign in with {email}.
    {app}: your verification code is {code}.
    {code} is your {org} security code. Do not share it.
    Use code {code} to log in to {app}. It expires in {duration}.
    Reset your {app} password here: {url}
    Details are on {url}, or call {phone}.
    {org} called from {phone} about the {event}.
    Save {person}'s number: {phone}.
    My work address is {email}, private is {email2}.
    {person} ({org}) can be reached [at|on] {phone}.
    We moved! New address: {address}, {city}.
    Send the {product} to {address} please.
    The {event} is on {date} at {time}, {place}.
    {event} moved from {date} to {date2}.
    {relation} can't come to the {event} {day}.
    Reminder: {event} with {person} {day} at {time}.
    The {event} lasts {duration} and starts at {time}.
    Are you free for the {event} {day}? {person} and {person2} are going.
    Flight {flight} with {airline} leaves {city} at {time}.
    {airline} cancelled {flight} to {city}, so I'm stuck in {city2}.
    Boarding for {flight} closes in {duration}, gate is at {place}.
    We fly {airline} to {country} on {date}.
    {relation} is [travelling around|touring] {country} for {duration}.
    Tickets to {country} are {money} with {airline}.
    Have you heard {song} by {artist}?
    {artist} play in {city} on {date}, tickets from {money}.
    That {artist} song, {song}, is stuck in my head.
    {relation} wants {song} at the {event}.
    Turn up {song}, I love {artist}.
    Shall we watch {movie} {day}? {person} says it's good.
    {movie} is on at {time} at {place}.
    I fell asleep after {duration} of {movie}.
    {app} keeps crashing whenever I open {url}.
    {person} shared a {app} album with you: {url}
    {org} is hiring in {city}, {person} works there.
    Interview at {org}, {address}, {date} {time}.
    Invoice from {org}: {money} due [by|on] {date}.
    {person} owes me {money} for the {dish}.
    [Split|Share] the bill with {person}: {money} each.
    Lunch at {restaurant} in {city}? They do a great {dish}.
    {relation} makes the best {dish} in {country}.
    Train to {city} is delayed by {duration}, back at {time}.
    Meet {person} at {place}, {relation} is bringing the {product}.
    I left my {product} at {place} in {city}.
    Ask {relation} for the wifi code, or mail {email}.
    {person} {phone} {email}
    To: {email}. Subject: {event} on {date}
    {org}, {address}, tel. {phone}, {url}
    {restaurant} is closed on {date}, let's try {restaurant2}.
    {airline} lost my bag with the {product} on the way to {country}.
    You have a missed call from {phone} at {time}.
    {carrier} wants {money} customs for the {product} from {country}.
    {person} got engaged in {country} {day}!
    Happy birthday {person}! See you at the {event}.
    Listen to {artist} on {app}, first {duration} free.
    Pickup at {address} {day} {time}, driver {person}.
    [No idea|Not a clue|I really don't know].
    Ok, will do.
    That was [hilarious|so funny|a bit much], honestly.
    I can't hear you, the line is terrible.
    Did you sleep well?
    [Never mind|Forget it], found it under the sofa.
    So sorry to hear that, sending love.
    My phone died, couldn't answer.
    What do you think, yes or no?
    The second one looks better on you.
    """
)
