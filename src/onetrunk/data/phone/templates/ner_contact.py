"""App "contact": people, how to reach them, and their parcels."""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import lines

CONTACT = {
    "train": lines(
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
    "validation": lines(
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
    "test": lines(
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
