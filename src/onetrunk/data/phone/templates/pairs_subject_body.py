"""Subjects of e-mails and, after ">", bodies that any subject of the group may stand above."""
# ruff: noqa: E501  (a template is one line)

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import groups

SUBJECT_BODY = groups(
    """
    {event} on {date}
    Invitation: {event}, {date}
    > Dear all, we would like to invite you to the {event} on {date} at {place}. Please tell {person} whether you can make it.
    > Hi everyone, the {event} takes place on {date}. Doors open at {time}, there will be {dish}.

    Your {org} invoice
    Invoice over {money}
    > Please find attached our bill for {money}. Kindly pay within {duration}. With best regards, {org} accounting
    > {org} thanks you for your purchase. The amount of {money} will be debited on {date}.

    Your parcel is on its way
    Shipped: {product}
    > Great news! We have packed your {product} and handed it to {carrier}. Tracking number: {tracking}.
    > The {product} left our warehouse. {carrier} will bring it on {date}, follow it with {tracking}.

    Booking confirmation {flight}
    Your trip to {city}
    > Thank you for flying with {airline}. You travel to {city} on {date}, departure {time}, flight {flight}.
    > Check-in for {flight} opens soon. Please be at the airport {duration} before take-off to {city}.

    Password reset
    Forgot your {app} password?
    > Somebody asked for a new password for your {app} account. If it was you, follow {url}. Otherwise ignore this mail.
    > Enter the code {code} in {app} to choose a new password. The code is valid for {duration}.

    Application for the position in {city}
    Job at {org}
    > Dear Sir or Madam, I read that {org} is looking for staff in {city} and would like to apply. My CV is attached. {person}
    > My name is {person} and your advertisement caught my eye. I have worked for {org2} and can start on {date}.

    Rent increase
    Your flat at {address}
    > Dear tenant, from {date} the monthly rent for {address} will rise by {money}. Please adjust your standing order.
    > As your landlord I must inform you that the flat costs {money} more per month starting {date}.

    Lost property
    Found: {product}
    > A {product} was handed in at {place}. If it is yours, ring {phone} and describe it.
    > Hello, I left my {product} at {place} on {date}. Has anyone returned it?

    Photos from {country}
    Our holiday
    > Hi {person}, here are the pictures of our trip: {url}. The {dish} was incredible, {relation} wants to go back.
    > We are back from {country}! I uploaded everything, you will like the ones from the harbour.

    Sick note
    Not coming in {day}
    > Hi {person}, I have a fever and will stay at home. Could you take over the {event}?
    > Unfortunately I am ill. The doctor says {duration} of rest, I will keep you posted.

    Complaint about my order
    Broken {product}
    > The {product} I received is damaged. I expect a replacement or my {money} back.
    > Your {product} stopped working after {duration}. Please let me know how to return it.

    Minutes of the {event}
    What we decided
    > Present: {person}, {person2}. Decisions: budget of {money}, next meeting on {date}.
    > Thanks for joining. {person} will talk to {org}, {person2} looks after the venue.

    Road works
    No water on {date}
    > Dear residents, the supply will be cut off on {date} between {time} and {time2}. We apologise.
    > Works in front of {address} begin on {date} and last about {duration}. Please park elsewhere.

    Recipe you asked for
    {dish} like {relation} makes it
    > Here it is: for a good {dish} you need patience, garlic and {duration} in the oven.
    > You wanted to know how we cook {dish}. The secret is to let it rest for {duration}.

    Concert tickets
    {artist} in {city}
    > {artist} are on tour and I got two seats for {money} each. Are you coming on {date}?
    > Your tickets for {artist} are attached. Show the bar code at the entrance of {place}.

    Newsletter
    News from {org}
    > In this month's edition: our new {product}, an interview with {person} and a prize draw.
    > Dear reader, {org} has opened a shop in {city}. Visit us before {date} and get a discount.

    School trip to {city}
    Class outing on {date}
    > Dear parents, on {date} we leave for {city}. Please pack a lunch and {money} of pocket money.
    > The children meet at {place} at {time}. Questions? Call {phone}.

    Change of address
    We have moved
    > Please update your records: our new address is {address}, {city}.
    > From {date} you find us at {address}. The phone number {phone} stays the same.

    Welcome to {app}
    Confirm your account
    > Thanks for signing up. Click {url} to activate {app} and start your free trial of {duration}.
    > One more step: enter {code} and your account is ready.

    Your table at {restaurant}
    Reservation for {time}
    > We look forward to seeing you at {restaurant} on {date}, {time}. Please call {phone} if your plans change.
    > Your booking for {number} people is confirmed. Our chef recommends the {dish}.

    Car service
    Your vehicle is ready
    > The inspection is done, everything is fine except for the brakes. That will be {money}.
    > You can pick up your car at {address} until {time}.

    Thank you
    Lovely evening
    > What a wonderful time we had! The {dish} was delicious, next time it's our turn.
    > I just wanted to say thanks for letting us stay, {person} is still talking about it.

    Question about the flat
    Viewing at {address}?
    > Is the apartment still available? I could come and see it on {date} at {time}.
    > I saw your advertisement and would be interested in renting. My number is {phone}.

    Goodbye
    Last day at {org}
    > After many years it is time to move on. On {date} I leave {org}, please join me for cake.
    > I start a new job in {city} and wanted to thank you all. Keep in touch: {email}

    Library notice
    Overdue items
    > Two books on your card should have been returned on {date}. The fee so far is {money}.
    > Please bring back what you borrowed, other readers are waiting.

    Gym membership
    Your contract ends on {date}
    > We would be sorry to lose you. Renew now and train {duration} for free.
    > Your cancellation has been received. You can use the gym until {date}.

    Test results
    Letter from the clinic
    > Your results have arrived and there is nothing to worry about. The doctor can be reached on {phone}.
    > Please make an appointment to discuss your values, {date} would suit us.

    Server maintenance
    {app} offline {day}
    > We are upgrading our systems. {app} will be unreachable for {duration} from {time}.
    > Due to maintenance you cannot log in {day}. Your data is safe.

    Wedding
    {person} and {person2} are getting married
    > Save the date: on {date} we say yes in {city}! Details follow.
    > We'd be honoured to celebrate with you at {place}. Please answer by {date}.

    Neighbourhood party
    Street festival {day}
    > Everybody brings something, I make {dish}. We start at {time}.
    > Tables and benches are organised, music is by {artist}.
    """
)
