"""The words of the embedded phone corpus: closed value lists, message templates, concepts. Data only.

One template a line. ``{kind}`` is a slot (a trailing digit makes a second value of that kind:
``{person2}``), ``[a|b]`` a choice. A template stands in exactly one split, by hand; the tests
check that nothing of a validation or test template is found in anything that is trained on.
"""
# ruff: noqa: E501  (a template is one line)

from __future__ import annotations

SPLITS = ("train", "validation", "test")


def _lines(block: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in block.strip().splitlines() if line.strip())


def _groups(block: str) -> tuple[tuple[str, ...], ...]:
    return tuple(_lines(group) for group in block.strip().split("\n\n"))


def _list(block: str) -> tuple[str, ...]:
    return tuple(" ".join(value.split()) for value in block.split(";"))


# What a slot is called in the weak NER data. ``name``, ``town`` and ``day`` are ``person``,
# ``city`` and ``date`` by another name, so that an app may leave one of the two untagged.
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

# ------------------------------------------------------------------------------ closed values
# Every fourth value of a list is held out: only validation and test rows may use it.
VALUES: dict[str, tuple[str, ...]] = {
    "relation": _list(
        """mum; my sister; dad; grandma; my brother; auntie; my wife; uncle; my husband;
        granddad; my boss; mom; my cousin; my flatmate; nan; my godmother; my landlord; my niece;
        my girlfriend; my neighbour; my boyfriend; my mother-in-law"""
    ),
    "event": _list(
        """dentist appointment; team meeting; book club; housewarming party; yoga class;
        parents' evening; project kickoff; piano lesson; birthday dinner; job interview; stand-up;
        wedding rehearsal; pub quiz; budget review; football training; baby shower;
        school concert; sprint planning; eye test; farewell drinks; driving test; choir practice;
        board meeting; graduation ceremony; blood test; design workshop; movie night;
        vet appointment; barbecue; quarterly review; swimming lesson; haircut; game night;
        client call; charity run; engagement party; physio session; town hall; garden party;
        tax consultation; tennis match; product demo; picnic; poetry reading"""
    ),
    "place": _list(
        """the library; Riverside Park; room 204; the town hall; Café Luna; the old mill;
        Central Station; the gym; the Blue Lantern; conference room B; St Mary's Hospital;
        the community centre; the harbour; Hillcrest School; the rooftop bar; gate 14;
        Oakwood Clinic; the museum; the north entrance; Greenfield Stadium; the climbing hall;
        the botanical garden; Lakeview Hotel; the main office; the Corner House; pier 7;
        the food court; Elm Street Studio; the airport; the city theatre; Harper's Bakery;
        the skate park"""
    ),
    "city": _list(
        """Leeds; Porto; Chicago; Mumbai; Bristol; Denver; Kyoto; Lyon; Glasgow; Seattle; Nairobi;
        Cologne; Dublin; Toronto; Pune; New York; Melbourne; Cardiff; Boston; San Diego; Prague;
        Buenos Aires; Oslo; Cape Town"""
    ),
    "country": _list(
        """Portugal; Kenya; Japan; Norway; Canada; South Korea; Chile; New Zealand; Ireland;
        Vietnam; Morocco; Peru; Greece; Iceland; India; Costa Rica; Estonia; Ghana; Mexico;
        Sri Lanka"""
    ),
    "carrier": _list(
        """DHL; UPS; Royal Mail; Hermes; FedEx; Parcelforce; DPD; TNT; USPS; Yodel; GLS; Evri;
        Speedy Post; QuickShip; Aramex; Nordpost"""
    ),
    "product": _list(
        """wireless headset; pair of running shoes; coffee grinder; phone case; standing desk;
        air fryer; yoga mat; winter jacket; desk lamp; robot vacuum; kettle; smart watch;
        bike helmet; e-reader; board game; rice cooker; suitcase; laptop stand; garden hose;
        water filter; power bank; bookshelf; raincoat; electric toothbrush"""
    ),
    "dish": _list(
        """pad thai; margherita pizza; chicken tikka masala; falafel wrap; fish and chips;
        vegetable lasagne; beef burger; mushroom risotto; salmon sushi; tofu ramen; lamb kebab;
        pepperoni pizza; caesar salad; chow mein; butter chicken; bean burrito; tomato soup;
        spring roll platter; pulled pork sandwich; paneer curry; pancake stack; poke bowl; carbonara;
        garlic bread"""
    ),
    "restaurant": _list(
        """Golden Wok; Mario's; The Hungry Fox; Taco Verde; Saffron House; Blue Fig; Noodle Bar;
        Bella Napoli; Curry Corner; The Green Spoon; Burger Barn; Sakura Garden; Olive Grove;
        Little Saigon; The Copper Pot; Chez Margot; Smokehouse 9; Dragon Palace; El Camino;
        Bombay Lounge"""
    ),
    "song": _list(
        """Midnight Train; Paper Boats; Summer Static; Dancing on Glass; Blue Umbrella; Hold the
        Line; Northern Lights; Slow Motion; Electric River; Coffee at Dawn; Broken Compass; Satellite
        Heart; Golden Hour; Empty Rooms; Thunder Road Home; Wildflower; Lost in Lisbon; Neon Rain;
        Seventeen Again; The Long Way Down"""
    ),
    "artist": _list(
        """The Velvet Foxes; Luna Park; Mara Quinn; Static Parade; DJ Orbit; The Paper Kings;
        Ivy Rowe; Cold Harbour; Sons of Saturn; Nina Vale; The Lighthouse Keepers; Juno Black;
        Silver Lake Trio; Kid Atlas; Rosa Delgado; Echo Valley; The Night Buses; Tom Ashby"""
    ),
    "app": _list(
        """ChatNest; PhotoLoop; BankBuddy; FitTrack; RideNow; NoteBox; MapMate; SnapShare;
        TuneStream; ShopSwift; MealDash; WeatherWise; LinguaPal; CloudKeep; TaskFlow; PayLink"""
    ),
    "airline": _list(
        """Skyline Air; Northwind Airways; BlueJet; Trans Atlantic; Aurora Airlines; Coastal Air;
        Pacific Wings; EuroHop; Falcon Air; Sunbird; Delta; Lufthansa; Ryanair; Emirates;
        Air India; Qantas"""
    ),
    "movie": _list(
        """The Last Lighthouse; Red Planet Rising; Two Weddings; Night Shift; The Cartographer;
        Deep Water; A Winter Tale; Robot Summer; Ghosts of Avalon; The Big Detour; Paper Moon;
        Zero Gravity; Sunday People; The Clockmaker; Monsoon Season; Escape Plan"""
    ),
    "duration": _list(
        """ten minutes; half an hour; two hours; 45 minutes; an hour; 20 min; three days; 90 minutes;
        five minutes; 15 mins; a couple of hours; two weeks"""
    ),
    "task": _list(
        """water the plants; pay the rent; take out the bins; buy milk; renew my passport;
        feed the cat; take my tablets; pick up the dry cleaning; charge the car; defrost the chicken;
        back up my photos; send the invoice; return the library books; walk the dog;
        print the tickets; clean the filter; sign the permission slip; move the laundry;
        submit my timesheet; order new lenses; change the sheets; lock the shed"""
    ),
    "saying": _list(
        """I'm running late; the keys are under the mat; dinner is ready; I got the job;
        we ran out of milk; I'll call back later; the train is stuck; happy birthday;
        I'm outside; can we talk later; the match was cancelled; I miss you;
        good luck with the exam; I can't make it; the plumber is here; thanks for everything"""
    ),
    "phrase": _list(
        """good evening; where is the station; thank you very much; how much does it cost;
        I am allergic to nuts; the bill please; see you soon; I am lost; one ticket please;
        nice to meet you; my phone is broken; do you speak English"""
    ),
    "language": _list(
        "Spanish; French; German; Italian; Hindi; Portuguese; Turkish; Japanese; Polish; Swahili"
    ),
    "lamp": _list(
        """kitchen lights; bedroom lamp; heating; hall light; living room lights; garden lights;
        fan; porch light; ceiling light; office heater"""
    ),
}

# -------------------------------------------------------------------- what surrounds a message
# ``held`` frames belong to validation and test rows, ``train`` frames to all training data.
OPENINGS = {
    "train": _lines(
        """
        Hey,
        Hi {name},
        Hello!
        Hey {name}!
        Good morning,
        Morning!
        Dear {name},
        Hiya,
        Sorry for the late reply.
        Hope you're well.
        Quick one:
        Hey there,
        Just saw your message.
        Long time no see!
        Ok so
        FYI:
        """
    ),
    "held": _lines(
        """
        Yo,
        Evening {name},
        Hello again {name},
        Right,
        Hi all,
        Heya {name},
        Hope the week is treating you kindly.
        Small update:
        By the way,
        Sorry, only got to this now.
        """
    ),
}
CLOSINGS = {
    "train": _lines(
        """
        Thanks!
        Thank you so much
        See you :)
        Cheers, {name}
        xx
        Sent from my phone
        Let me know.
        Talk soon!
        Best, {name}
        Can't wait!
        No rush.
        Haha
        Hope that helps.
        🙂
        Ok?
        """
    ),
    "held": _lines(
        """
        Ta!
        Much appreciated
        Take care, {name}
        Sent from a tiny keyboard
        Shout if anything is unclear.
        Regards, {name}
        Laters
        👍
        Many thanks in advance.
        Hugs
        """
    ),
}
FILLERS = {
    "train": _lines(
        """
        The bus was packed again.
        My battery is nearly empty.
        I'm still half asleep.
        It has been raining all morning.
        Work is a bit mad at the moment.
        I tried ringing you earlier.
        The dog ate my sandwich, by the way.
        I owe you one.
        No worries if not.
        I nearly forgot to write.
        """
    ),
    "held": _lines(
        """
        The lift is broken, so I'm out of breath.
        Autocorrect hates me.
        I've had far too much coffee.
        Everyone here is down with a cold.
        Typing this with one hand.
        The neighbours are drilling again.
        """
    ),
}
COMMAND_OPENINGS = {
    "train": _lines("please\nhey phone,\nok assistant,\nhi,\nso\nhello phone"),
    "held": _lines("erm,\nassistant,\nright then,\nlisten,\nquick question,"),
}
COMMAND_CLOSINGS = {
    "train": _lines("please\nthanks\nnow\nfor me\nif you can\nasap"),
    "held": _lines("cheers\nwhen you have a second\nthank you kindly\nwill you"),
}

# ----------------------------------------------------------------------------- weak NER (train)
WEAK = _lines(
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

# ------------------------------------------------------- app "calendar": event, date, time, ...
# {name}, {town} and {duration} are values that are *not* tagged here: neither attendees nor venues.
CALENDAR = {
    "train": _lines(
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
    "validation": _lines(
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
    "test": _lines(
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

# ------------------------------------------------- app "contact": people, numbers and parcels
CONTACT = {
    "train": _lines(
        """
        {person}'s new number is {phone}.
        [You can reach|Try] {person} on {phone} or {email}.
        Mail the form to {email}, attention {person}.
        My new address: {address}. Phone stays {phone}.
        {carrier} parcel {tracking} was left with {person} at {address}.
        Your shipment {tracking} has been handed to {carrier}.
        Track it with {carrier}, the number is {tracking}.
        Two parcels: {tracking} and {tracking2}, both {carrier}.
        Hi, this is {person} from {org}, call me back on {phone}.
        Delivery for {person}, {address}. Any problem, ring {phone}.
        {person} lives at {address} now, {person2} still at {address2}.
        Old mail: {email}. New one: {email2}.
        Contact card: {person}, {org}, {phone}, {email}.
        {carrier} could not find {address}, please call {phone}.
        Ask {person} for the key, {relation} lost mine.
        Order {order} from {org} was {money}, sent with {carrier}.
        Forward this to {person} ({email}) and {person2} ({email2}).
        Wrong number, I'm not {person}.
        The courier from {carrier} was so rude.
        The code is {code}, don't give it to anyone.
        Your balance is {money}, reference {order}.
        The meeting is in room {number} at {time}.
        Who was that on the phone?
        I never got your mail, did it bounce?
        The package looks fine, only a dent.
        Turn left after {number} metres, it's the red door.
        {org} charged me {money} twice.
        """
    ),
    "validation": _lines(
        """
        If {person} doesn't pick up {phone}, write to {email}.
        {tracking} is stuck at customs, says {carrier}.
        Drop the box off at {address}, {person} is home all day.
        For questions about parcel {tracking}: {email} or {phone}.
        {person} gave me {phone}, but {person2} answers it.
        Order {order} weighs {number} kilos.
        They delivered it to the wrong house again.
        Flat {number} has been empty for {duration}.
        """
    ),
    "test": _lines(
        """
        Write this down: {phone}, that's {person}'s landline.
        Got a card from {carrier}, they want {tracking} and my postcode.
        {person} moved out of {address}, so send everything to {address2}.
        Delete {phone}, {person} only uses {email} these days.
        No trace of {tracking} at {carrier} nor at {carrier2}.
        Signed for by {person}: {tracking}.
        cc {email} and {email2}, leave {person} out of it
        It's {person} here. Lost my mobile, use {phone} for now!
        {carrier} driver will be at {address} within {duration}, ref. {tracking}
        Return label: {person}, {address}. Return no. {tracking}
        Invoice {order}, {money}, questions to {email}.
        Is {email} still right for {org}, or do I phone {phone}?
        {name} recommended a plumber, {phone}, ask for {person2}.
        Your locker PIN is {code}, locker {number}.
        Booking {order} for {number} guests, total {money}.
        The postman waved at me, how nice.
        I dialled so often that my thumb hurts.
        {org} has moved its shop to the second floor.
        """
    ),
}

# --------------------------------------------------------------------- app "intent": commands
INTENT = {
    "set_alarm": {
        "train": _lines(
            """
            wake me up at {time}
            set an alarm for {time} {day}
            alarm at {time}
            I have to be up by {time}, so ring loudly
            make sure I'm awake at {time} on {date}
            change my alarm from {time} to {time2}
            """
        ),
        "validation": _lines(
            "get me out of bed at {time}\nneed a morning buzz at {time} {day}, nothing else"
        ),
        "test": _lines(
            """
            I can't oversleep {day}, {time} at the latest
            beep until I get up, {time}
            my usual weekday wake-up should be {time} instead of {time2}
            """
        ),
    },
    "set_reminder": {
        "train": _lines(
            """
            remind me to {task} {day}
            don't let me forget to {task}
            reminder: {task} at {time}
            I need to {task} on {date}, remind me
            tell me at {time} that I have to {task}
            put {task} on my to-do list
            """
        ),
        "validation": _lines(
            "in {duration} poke me about this: {task}\nI always forget to {task}, help me with that"
        ),
        "test": _lines(
            """
            nudge me at {time}, I must {task}
            when I get home I should {task}, say so
            make a note so that I {task} {day}
            """
        ),
    },
    "create_event": {
        "train": _lines(
            """
            add the {event} to my calendar, {date} at {time}
            schedule a {event} with {person} {day}
            book {time} on {date} for the {event}
            new appointment {day} {time}: {event}
            block {duration} for the {event} on {date}
            invite {person} to a {event} at {time}
            """
        ),
        "validation": _lines(
            "pencil in {person} for {date}, {time}\nmy diary needs the {event} on {date}"
        ),
        "test": _lines(
            """
            I've got a {event} {day} at {time}, save it
            set up {duration} with {person} and {person2} on {date}
            {event}, {place}, {date}, please enter that
            """
        ),
    },
    "send_message": {
        "train": _lines(
            """
            text {person} that {saying}
            send {relation} a message: {saying}
            write to {person} on {app}: {saying}
            message {relation} and say {saying}
            tell {person} {saying}
            reply to {person} with {saying}
            """
        ),
        "validation": _lines(
            "drop {person} a line saying {saying}\nanswer {relation}'s last text: {saying}"
        ),
        "test": _lines(
            """
            let {relation} know {saying}
            shoot {person} a quick note, {saying}
            {person} should hear from me that {saying}
            """
        ),
    },
    "call_contact": {
        "train": _lines(
            """
            call {person}
            ring {relation} on the mobile
            dial {phone}
            phone {person} at work
            start a video call with {relation}
            call back the number that rang at {time}
            """
        ),
        "validation": _lines(
            "get {person} on the line\nI want to speak to {relation}, use the speaker"
        ),
        "test": _lines(
            """
            connect me with {person}
            give {relation} a bell
            try {person} again, it was engaged
            """
        ),
    },
    "play_music": {
        "train": _lines(
            """
            play {song} by {artist}
            put on some {artist}
            play my running playlist on {app}
            I want to hear {song}
            shuffle songs by {artist}
            next track, something by {artist}
            """
        ),
        "validation": _lines("some {artist} would be nice right now\nqueue {song} after this one"),
        "test": _lines(
            """
            turn on {song}, loud
            how does {song} go again? start it from the top
            I'm in the mood for {artist}
            """
        ),
    },
    "navigate": {
        "train": _lines(
            """
            navigate to {address}
            how do I get to {place}
            directions to {restaurant} avoiding the motorway
            take me to {city}
            fastest way home from {place}
            show the route to {address} on foot
            """
        ),
        "validation": _lines(
            "drive me over to {place} via {city}\nhow far is it from here to {address}"
        ),
        "test": _lines(
            """
            I'm lost, guide me to {place}
            which bus goes to {address}
            find a way round the traffic, I must be in {city} by {time}
            """
        ),
    },
    "weather": {
        "train": _lines(
            """
            what's the weather in {city} {day}
            will it rain on {date}
            do I need an umbrella in {city}
            how cold is it outside
            weekend forecast for {city}
            is it going to snow {day}
            """
        ),
        "validation": _lines("temperature in {city} right now\nhow windy will {city} be on {date}"),
        "test": _lines(
            """
            should I pack a raincoat for {city}
            could we go to the beach {day} or is {city} too chilly
            how many degrees do they expect on {date}
            """
        ),
    },
    "track_parcel": {
        "train": _lines(
            """
            where is my parcel {tracking}
            track {tracking} with {carrier}
            has {carrier} delivered the {product} yet
            when will my {product} arrive
            status of shipment {tracking}
            did the package from {org} come
            """
        ),
        "validation": _lines(
            "is {tracking} still in the depot\ncheck if {carrier} is bringing something {day}"
        ),
        "test": _lines(
            """
            any news about the {product} I ordered
            how far away is the {carrier} van
            look up {tracking} for me
            """
        ),
    },
    "order_food": {
        "train": _lines(
            """
            order a {dish} from {restaurant}
            get me {dish} and {dish2}
            I'd like a {dish} delivered to {address}
            same {restaurant} order as last week
            two portions of {dish}, pick-up at {time}
            find somewhere that delivers {dish}
            """
        ),
        "validation": _lines("I'm starving, {restaurant} again\nadd {dish} to the basket and pay"),
        "test": _lines(
            """
            could do with a {dish} from {restaurant}
            let's have {dish} for dinner, they should bring it at {time}
            one {dish}, no onions, to my door
            """
        ),
    },
    "translate": {
        "train": _lines(
            """
            translate {phrase} into {language}
            how do you say {phrase} in {language}
            what is {language} for {phrase}
            what does this {language} sign mean
            say {phrase} in {language}
            open the translator for {language}
            """
        ),
        "validation": _lines(
            "I need {phrase} in {language}\nput this menu into English, it's {language}"
        ),
        "test": _lines(
            """
            what would a {language} speaker call it: {phrase}
            {phrase}, but in {language}
            help me tell the waiter {phrase}, the waiter speaks {language}
            """
        ),
    },
    "control_home": {
        "train": _lines(
            """
            turn off the {lamp}
            switch the {lamp} on at {time}
            dim the {lamp} to {number} percent
            is the {lamp} still on
            make it warmer in here
            {lamp} off in {duration}
            """
        ),
        "validation": _lines("it's too dark, use the {lamp}\nshut down the {lamp} when I leave"),
        "test": _lines(
            """
            I left the {lamp} running, kill it
            nobody needs the {lamp} before {time}
            set the {lamp} to go on {day} at {time}
            """
        ),
    },
}

# ------------------------------------------------------------------------------- app "spam"
# Ham has prices, links, codes and urgency too; spam also comes as a friendly note.
SPAM = {
    "spam": {
        "train": _lines(
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
        "validation": _lines(
            """
            Tax office: you are owed {money}. Fill in the form before {date}: {url}
            Lose {number} kilos in {duration} with this one trick! {url}
            I saw your profile and would love to chat, add me: {url}
            {carrier} needs a small fee of {money} to release {tracking}: {url}
            Lucky you, the {product} raffle picked your number. Confirm with {phone}
            Our trader {person} made {money} {day}. Want in? {email}
            """
        ),
        "test": _lines(
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
        "train": _lines(
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
        "validation": _lines(
            """
            Bank holiday hours at {place}: {time} to {time2}.
            I transferred {money}, should reach your account on {date}.
            {person} said the {product} is in the sale, go quick!
            Prescription ready for collection at {place}.
            Congrats on the new job, so deserved!
            Here is the photo album, password is {code}: {url}
            """
        ),
        "test": _lines(
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

# ----------------------------------------------------------------------------- pairs (train)
# Paraphrases: any two lines of a group ask for, or say, the same thing.
PARAPHRASES = _groups(
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
# Below, the lines before the first ">" of a group are queries, the lines with ">" their positives.
SUBJECT_BODY = _groups(
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
REPLIES = _groups(
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
COMMANDS = _groups(
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
PAIRS = {
    "paraphrase": PARAPHRASES,
    "subject_body": SUBJECT_BODY,
    "reply": REPLIES,
    "command": COMMANDS,
}
