"""Messages and, after ">", replies that any message of the group may get."""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import groups

REPLIES = groups(
    """
    Are you coming to the {event} {day}?
    > [Yes|Sure], I'll be there, [count me in|wouldn't miss it]!
    > Sorry, can't make the {event}, I'm in {city}.

    What time does the {event} start?
    > At {time}, but come a bit earlier.
    > I think {time}, ask {person}.

    Where shall we meet?
    > In front of {place}, like last time.
    > How about {place} at {time}?

    Did you get my parcel?
    > Yes, {carrier} brought it [this morning|an hour ago].
    > Not yet, the tracking says {date}.

    Can you lend me {money}?
    > No problem, I'll send it with {app}.
    > I'm broke myself until {date}, sorry.

    What's {person}'s number?
    > It's {phone}.
    > I only have the mail address: {email}

    How was {country}?
    > Beautiful, but far too hot. The {dish} was great.
    > We loved it, {duration} were not enough.

    Have you seen {movie}?
    > Yes, cried at the end.
    > No, is it any good?

    What do you want to eat?
    > {dish}, if that's okay.
    > Anything but {dish}.

    Which song is this?
    > {song} by {artist}.
    > Sounds like {artist}, no idea about the title.

    I got the job at {org}!
    > Wow, congratulations! When do you start?
    > So happy for you, let's celebrate at {restaurant}.

    My {product} is broken.
    > Oh no, do you still have the receipt?
    > Mine too, {org} repaired it for {money}.

    When do you land?
    > {flight} gets in at {time}.
    > Late, around {time}, don't wait up.

    Can you feed the cat while I'm in {city}?
    > Of course, leave the key with {relation}.
    > I'm allergic, but {person} could do it.

    I'm locked out.
    > I'm on my way, {duration}.
    > {relation} has a spare key.

    How is {relation} doing?
    > Much better, out of hospital since {date}.
    > Still weak, but in good spirits.

    The train is cancelled.
    > Shall I pick you up from {place}?
    > Take the bus, it goes at {time}.

    What's the wifi password?
    > It's on the back of the router.
    > {code}, all capitals.

    Did you like the present?
    > I love it, the {product} is exactly my colour!
    > So thoughtful, thank you.

    Are we still on for {day}?
    > Yes, {time} at {place}.
    > Can we move it to {date}?

    I failed the exam.
    > Don't be sad, next time it will work out.
    > Same here, let's study together.

    Who is bringing the drinks?
    > {person} promised to.
    > I thought you were, I do the {dish}.

    Could you send me the slides?
    > Just mailed them to {email}.
    > They are here: {url}

    How much was the {product}?
    > {money}, second hand.
    > A gift from {relation}, no idea.

    Is it raining over there?
    > Pouring, bring a coat.
    > Not a cloud in sight.

    Can I return the {product}?
    > Yes, within {duration} with the receipt.
    > Unfortunately sale items are excluded.

    What's the doctor's address?
    > {address}, next to the pharmacy.
    > They moved, look on {url}.

    Should I book {restaurant}?
    > Good idea, for {time} please.
    > Not again, what about {restaurant2}?

    My phone does strange things.
    > Have you tried turning it off and on?
    > Delete {app}, that helped me.

    How long will you be?
    > About {duration}, traffic is bad.
    > Nearly there!

    Why didn't you answer?
    > My battery was flat.
    > Was in the {event}, phone on silent.

    Do you have an idea for {person}'s birthday?
    > Maybe a {product}?
    > {person} loves {artist}, get tickets.

    How do I get to your place?
    > Bus to {place}, then two minutes on foot.
    > {address}, ring twice.

    We need a fourth player.
    > Ask {person}, always up for a game.
    > I'm in, when and where?

    Sorry for shouting earlier.
    > Already forgotten, we were both tired.
    > It hurt, but thanks for saying so.

    When is the rent due?
    > On {date}, {money} as always.
    > Already paid for both of us.

    Has the {app} update fixed it?
    > No, still crashing.
    > Yes, all good since then.

    Which airline are you taking?
    > {airline}, they were cheapest.
    > No idea, {person} booked it.
    """
)
