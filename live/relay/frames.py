"""Which maker of frames belongs to which codec."""

from __future__ import annotations

from live.relay.av1 import AV1Frames
from live.relay.depacketise import Frames, H264Frames, VideoCodec, VP8Frames
from live.relay.vp9 import VP9Frames


def video_frames(codec: VideoCodec, parameter_sets: tuple[bytes, ...] = ()) -> Frames:
    """A maker of frames for packets of `codec`. `parameter_sets`: H.264's, told outside the stream."""
    if codec == "h264":
        return H264Frames(list(parameter_sets))
    if codec == "vp8":
        return VP8Frames()
    return VP9Frames() if codec == "vp9" else AV1Frames()
