"""App "intent": voice commands, by what they ask for."""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import lines

INTENT = {
    "set_alarm": {
        "train": lines(
            """
            wake me up at {time}
            set an alarm for {time} {day}
            alarm at {time}
            I have to be up by {time}, so ring loudly
            make sure I'm awake at {time} on {date}
            change my alarm from {time} to {time2}
            """
        ),
        "validation": lines(
            "get me out of bed at {time}\nneed a morning buzz at {time} {day}, nothing else"
        ),
        "test": lines(
            """
            I can't oversleep {day}, {time} at the latest
            beep until I get up, {time}
            my usual weekday wake-up should be {time} instead of {time2}
            """
        ),
    },
    "set_reminder": {
        "train": lines(
            """
            remind me to {task} {day}
            don't let me forget to {task}
            reminder: {task} at {time}
            I need to {task} on {date}, remind me
            tell me at {time} that I have to {task}
            put {task} on my to-do list
            """
        ),
        "validation": lines(
            "in {duration} poke me about this: {task}\nI always forget to {task}, help me with that"
        ),
        "test": lines(
            """
            nudge me at {time}, I must {task}
            when I get home I should {task}, say so
            make a note so that I {task} {day}
            """
        ),
    },
    "create_event": {
        "train": lines(
            """
            add the {event} to my calendar, {date} at {time}
            schedule a {event} with {person} {day}
            book {time} on {date} for the {event}
            new appointment {day} {time}: {event}
            block {duration} for the {event} on {date}
            invite {person} to a {event} at {time}
            """
        ),
        "validation": lines(
            "pencil in {person} for {date}, {time}\nmy diary needs the {event} on {date}"
        ),
        "test": lines(
            """
            I've got a {event} {day} at {time}, save it
            set up {duration} with {person} and {person2} on {date}
            {event}, {place}, {date}, please enter that
            """
        ),
    },
    "send_message": {
        "train": lines(
            """
            text {person} that {saying}
            send {relation} a message: {saying}
            write to {person} on {app}: {saying}
            message {relation} and say {saying}
            tell {person} {saying}
            reply to {person} with {saying}
            """
        ),
        "validation": lines(
            "drop {person} a line saying {saying}\nanswer {relation}'s last text: {saying}"
        ),
        "test": lines(
            """
            let {relation} know {saying}
            shoot {person} a quick note, {saying}
            {person} should hear from me that {saying}
            """
        ),
    },
    "call_contact": {
        "train": lines(
            """
            call {person}
            ring {relation} on the mobile
            dial {phone}
            phone {person} at work
            start a video call with {relation}
            call back the number that rang at {time}
            """
        ),
        "validation": lines(
            "get {person} on the line\nI want to speak to {relation}, use the speaker"
        ),
        "test": lines(
            """
            connect me with {person}
            give {relation} a bell
            try {person} again, it was engaged
            """
        ),
    },
    "play_music": {
        "train": lines(
            """
            play {song} by {artist}
            put on some {artist}
            play my running playlist on {app}
            I want to hear {song}
            shuffle songs by {artist}
            next track, something by {artist}
            """
        ),
        "validation": lines("some {artist} would be nice right now\nqueue {song} after this one"),
        "test": lines(
            """
            turn on {song}, loud
            how does {song} go again? start it from the top
            I'm in the mood for {artist}
            """
        ),
    },
    "navigate": {
        "train": lines(
            """
            navigate to {address}
            how do I get to {place}
            directions to {restaurant} avoiding the motorway
            take me to {city}
            fastest way home from {place}
            show the route to {address} on foot
            """
        ),
        "validation": lines(
            "drive me over to {place} via {city}\nhow far is it from here to {address}"
        ),
        "test": lines(
            """
            I'm lost, guide me to {place}
            which bus goes to {address}
            find a way round the traffic, I must be in {city} by {time}
            """
        ),
    },
    "weather": {
        "train": lines(
            """
            what's the weather in {city} {day}
            will it rain on {date}
            do I need an umbrella in {city}
            how cold is it outside
            weekend forecast for {city}
            is it going to snow {day}
            """
        ),
        "validation": lines("temperature in {city} right now\nhow windy will {city} be on {date}"),
        "test": lines(
            """
            should I pack a raincoat for {city}
            could we go to the beach {day} or is {city} too chilly
            how many degrees do they expect on {date}
            """
        ),
    },
    "track_parcel": {
        "train": lines(
            """
            where is my parcel {tracking}
            track {tracking} with {carrier}
            has {carrier} delivered the {product} yet
            when will my {product} arrive
            status of shipment {tracking}
            did the package from {org} come
            """
        ),
        "validation": lines(
            "is {tracking} still in the depot\ncheck if {carrier} is bringing something {day}"
        ),
        "test": lines(
            """
            any news about the {product} I ordered
            how far away is the {carrier} van
            look up {tracking} for me
            """
        ),
    },
    "order_food": {
        "train": lines(
            """
            order a {dish} from {restaurant}
            get me {dish} and {dish2}
            I'd like a {dish} delivered to {address}
            same {restaurant} order as last week
            two portions of {dish}, pick-up at {time}
            find somewhere that delivers {dish}
            """
        ),
        "validation": lines("I'm starving, {restaurant} again\nadd {dish} to the basket and pay"),
        "test": lines(
            """
            could do with a {dish} from {restaurant}
            let's have {dish} for dinner, they should bring it at {time}
            one {dish}, no onions, to my door
            """
        ),
    },
    "translate": {
        "train": lines(
            """
            translate {phrase} into {language}
            how do you say {phrase} in {language}
            what is {language} for {phrase}
            what does this {language} sign mean
            say {phrase} in {language}
            open the translator for {language}
            """
        ),
        "validation": lines(
            "I need {phrase} in {language}\nput this menu into English, it's {language}"
        ),
        "test": lines(
            """
            what would a {language} speaker call it: {phrase}
            {phrase}, but in {language}
            help me tell the waiter {phrase}, the waiter speaks {language}
            """
        ),
    },
    "control_home": {
        "train": lines(
            """
            turn off the {lamp}
            switch the {lamp} on at {time}
            dim the {lamp} to {number} percent
            is the {lamp} still on
            make it warmer in here
            {lamp} off in {duration}
            """
        ),
        "validation": lines("it's too dark, use the {lamp}\nshut down the {lamp} when I leave"),
        "test": lines(
            """
            I left the {lamp} running, kill it
            nobody needs the {lamp} before {time}
            set the {lamp} to go on {day} at {time}
            """
        ),
    },
}
