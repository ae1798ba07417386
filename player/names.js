// @ts-check
/** Every name that crosses a border of the player: attributes, events, states and the worker's messages. */

/** Attributes of the element. */
export const Attribute = Object.freeze({
	SRC: "src",
	MUTED: "muted",
	AUTOPLAY: "autoplay",
	/** One of `Transport`. */
	TRANSPORT: "transport",
	/** One of `Decode`. */
	DECODE: "decode",
});

/** Ways to a gateway. */
export const Transport = Object.freeze({
	/** Whichever of the others delivers first. */
	AUTO: "auto",
	WEBTRANSPORT: "webtransport",
	/** Flows over a WebSocket. */
	RTWEBSOCKET: "rtwebsocket",
	/** The same over the browser's WebSocketStream. */
	RTWEBSOCKET_STREAM: "rtwebsocket-stream",
	/** Fragmented MP4 over WebSocketStream, without flows. */
	WEBSOCKETSTREAM: "websocketstream",
	/** Fragmented MP4 over a WebSocket, without flows, acknowledged. */
	WEBSOCKET: "websocket",
});

/** What decodes. */
export const Decode = Object.freeze({
	/** WebCodecs where they know the stream's codecs, else Media Source Extensions. */
	AUTO: "auto",
	WEBCODECS: "webcodecs",
	MSE: "mse",
});

/** Forms in which a stream is delivered. */
export const Format = Object.freeze({
	RAW: "raw",
	FMP4: "fmp4",
});

/** Events of the element. None bubbles. */
export const EventName = Object.freeze({
	/** `detail` is the new state. */
	STATE: "statechange",
	/** `detail` are the new statistics; four times a second while open. */
	STATS: "stats",
	/** `detail` is the publisher's `onMetaData`. */
	METADATA: "metadata",
	/** `detail` says whether it's muted. */
	MUTE: "mutechange",
	/** `detail` is a message for people; the player goes on by itself where it can. */
	TROUBLE: "trouble",
});

/** What the player is doing. */
export const State = Object.freeze({
	CLOSED: "closed",
	CONNECTING: "connecting",
	/** Connected, but nobody publishes. */
	WAITING: "waiting",
	PLAYING: "playing",
	PAUSED: "paused",
	/** The connection was lost; another try comes. */
	RECONNECTING: "reconnecting",
});

/** Messages to the worker. */
export const ToWorker = Object.freeze({
	OPEN: "open",
	OUTPUT: "output",
	LATENCY: "latency",
	PAUSE: "pause",
	CLOSE: "close",
});

/** Messages from the worker. */
export const FromWorker = Object.freeze({
	STATE: "state",
	STATS: "stats",
	METADATA: "metadata",
	TROUBLE: "trouble",
	/** Which transport was chosen; without one, the choice was wrong. */
	TRANSPORT: "transport",
	/** Which of `Decode` plays what follows. */
	DECODE: "decode",
	AUDIO_FORMAT: "audioFormat",
	FRAME: "frame",
	/** For Media Source Extensions: a message of the stream's, what is missing, the target, a new beginning. */
	MEDIA: "media",
	GAP: "gap",
	HINT: "hint",
	RESET: "reset",
});
