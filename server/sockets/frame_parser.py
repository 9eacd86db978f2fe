"""wsproto's parser of frames, and how it is let go."""

from wsproto.connection import Connection as FrameParser


def let_go(parser: FrameParser) -> None:
    """Its last use. What parses in it is a generator that refers to its owner, which refers to it:
    1.3 kB that only the collector would find, which the server runs rarely. wsproto itself ends a
    generator at a close frame alone."""
    parser._proto._parse_more.close()
