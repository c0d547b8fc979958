"""An embedded corpus of phone messages, e-mails and voice commands, for a demo without a network.

Values (Faker's, and closed lists of our own) are put into templates of our own
(:mod:`onetrunk.data.phone.templates`), then roughened: openings, closings, a second sentence,
lower case, shorthand, typos. Templates of validation and test rows are used nowhere else, so no
score measures how well a template was memorised.

``templates`` is data; ``values`` makes what fills it; ``writer`` writes one text; ``drawing`` draws
the rows of every part; ``corpus`` and ``files`` give them their form in memory and on disk.
"""

from __future__ import annotations

from onetrunk.data.phone.corpus import PhoneCorpus, generate
from onetrunk.data.phone.drawing import NER_APPS, TC_APPS, Sizes
from onetrunk.data.phone.files import write

__all__ = ["NER_APPS", "TC_APPS", "PhoneCorpus", "Sizes", "generate", "write"]
