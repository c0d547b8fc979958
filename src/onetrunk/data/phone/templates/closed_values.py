"""Closed lists of values.

Every fourth value of a list is held out: only validation and test rows may use it.
"""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import values

VALUES: dict[str, tuple[str, ...]] = {
    "relation": values(
        """mum; my sister; dad; grandma; my brother; auntie; my wife; uncle; my husband;
        granddad; my boss; mom; my cousin; my flatmate; nan; my godmother; my landlord; my niece;
        my girlfriend; my neighbour; my boyfriend; my mother-in-law"""
    ),
    "event": values(
        """dentist appointment; team meeting; book club; housewarming party; yoga class;
        parents' evening; project kickoff; piano lesson; birthday dinner; job interview; stand-up;
        wedding rehearsal; pub quiz; budget review; football training; baby shower;
        school concert; sprint planning; eye test; farewell drinks; driving test; choir practice;
        board meeting; graduation ceremony; blood test; design workshop; movie night;
        vet appointment; barbecue; quarterly review; swimming lesson; haircut; game night;
        client call; charity run; engagement party; physio session; town hall; garden party;
        tax consultation; tennis match; product demo; picnic; poetry reading"""
    ),
    "place": values(
        """the library; Riverside Park; room 204; the town hall; Café Luna; the old mill;
        Central Station; the gym; the Blue Lantern; conference room B; St Mary's Hospital;
        the community centre; the harbour; Hillcrest School; the rooftop bar; gate 14;
        Oakwood Clinic; the museum; the north entrance; Greenfield Stadium; the climbing hall;
        the botanical garden; Lakeview Hotel; the main office; the Corner House; pier 7;
        the food court; Elm Street Studio; the airport; the city theatre; Harper's Bakery;
        the skate park"""
    ),
    "city": values(
        """Leeds; Porto; Chicago; Mumbai; Bristol; Denver; Kyoto; Lyon; Glasgow; Seattle; Nairobi;
        Cologne; Dublin; Toronto; Pune; New York; Melbourne; Cardiff; Boston; San Diego; Prague;
        Buenos Aires; Oslo; Cape Town"""
    ),
    "country": values(
        """Portugal; Kenya; Japan; Norway; Canada; South Korea; Chile; New Zealand; Ireland;
        Vietnam; Morocco; Peru; Greece; Iceland; India; Costa Rica; Estonia; Ghana; Mexico;
        Sri Lanka"""
    ),
    "carrier": values(
        """DHL; UPS; Royal Mail; Hermes; FedEx; Parcelforce; DPD; TNT; USPS; Yodel; GLS; Evri;
        Speedy Post; QuickShip; Aramex; Nordpost"""
    ),
    "product": values(
        """wireless headset; pair of running shoes; coffee grinder; phone case; standing desk;
        air fryer; yoga mat; winter jacket; desk lamp; robot vacuum; kettle; smart watch;
        bike helmet; e-reader; board game; rice cooker; suitcase; laptop stand; garden hose;
        water filter; power bank; bookshelf; raincoat; electric toothbrush"""
    ),
    "dish": values(
        """pad thai; margherita pizza; chicken tikka masala; falafel wrap; fish and chips;
        vegetable lasagne; beef burger; mushroom risotto; salmon sushi; tofu ramen; lamb kebab;
        pepperoni pizza; caesar salad; chow mein; butter chicken; bean burrito; tomato soup;
        spring roll platter; pulled pork sandwich; paneer curry; pancake stack; poke bowl;
        carbonara; garlic bread"""
    ),
    "restaurant": values(
        """Golden Wok; Mario's; The Hungry Fox; Taco Verde; Saffron House; Blue Fig; Noodle Bar;
        Bella Napoli; Curry Corner; The Green Spoon; Burger Barn; Sakura Garden; Olive Grove;
        Little Saigon; The Copper Pot; Chez Margot; Smokehouse 9; Dragon Palace; El Camino;
        Bombay Lounge"""
    ),
    "song": values(
        """Midnight Train; Paper Boats; Summer Static; Dancing on Glass; Blue Umbrella;
        Hold the Line; Northern Lights; Slow Motion; Electric River; Coffee at Dawn;
        Broken Compass; Satellite Heart; Golden Hour; Empty Rooms; Thunder Road Home; Wildflower;
        Lost in Lisbon; Neon Rain; Seventeen Again; The Long Way Down"""
    ),
    "artist": values(
        """The Velvet Foxes; Luna Park; Mara Quinn; Static Parade; DJ Orbit; The Paper Kings;
        Ivy Rowe; Cold Harbour; Sons of Saturn; Nina Vale; The Lighthouse Keepers; Juno Black;
        Silver Lake Trio; Kid Atlas; Rosa Delgado; Echo Valley; The Night Buses; Tom Ashby"""
    ),
    "app": values(
        """ChatNest; PhotoLoop; BankBuddy; FitTrack; RideNow; NoteBox; MapMate; SnapShare;
        TuneStream; ShopSwift; MealDash; WeatherWise; LinguaPal; CloudKeep; TaskFlow; PayLink"""
    ),
    "airline": values(
        """Skyline Air; Northwind Airways; BlueJet; Trans Atlantic; Aurora Airlines; Coastal Air;
        Pacific Wings; EuroHop; Falcon Air; Sunbird; Delta; Lufthansa; Ryanair; Emirates;
        Air India; Qantas"""
    ),
    "movie": values(
        """The Last Lighthouse; Red Planet Rising; Two Weddings; Night Shift; The Cartographer;
        Deep Water; A Winter Tale; Robot Summer; Ghosts of Avalon; The Big Detour; Paper Moon;
        Zero Gravity; Sunday People; The Clockmaker; Monsoon Season; Escape Plan"""
    ),
    "duration": values(
        """ten minutes; half an hour; two hours; 45 minutes; an hour; 20 min; three days;
        90 minutes; five minutes; 15 mins; a couple of hours; two weeks"""
    ),
    "task": values(
        """water the plants; pay the rent; take out the bins; buy milk; renew my passport;
        feed the cat; take my tablets; pick up the dry cleaning; charge the car;
        defrost the chicken; back up my photos; send the invoice; return the library books;
        walk the dog; print the tickets; clean the filter; sign the permission slip;
        move the laundry; submit my timesheet; order new lenses; change the sheets; lock the shed"""
    ),
    "saying": values(
        """I'm running late; the keys are under the mat; dinner is ready; I got the job;
        we ran out of milk; I'll call back later; the train is stuck; happy birthday;
        I'm outside; can we talk later; the match was cancelled; I miss you;
        good luck with the exam; I can't make it; the plumber is here; thanks for everything"""
    ),
    "phrase": values(
        """good evening; where is the station; thank you very much; how much does it cost;
        I am allergic to nuts; the bill please; see you soon; I am lost; one ticket please;
        nice to meet you; my phone is broken; do you speak English"""
    ),
    "language": values(
        "Spanish; French; German; Italian; Hindi; Portuguese; Turkish; Japanese; Polish; Swahili"
    ),
    "lamp": values(
        """kitchen lights; bedroom lamp; heating; hall light; living room lights; garden lights;
        fan; porch light; ceiling light; office heater"""
    ),
}
