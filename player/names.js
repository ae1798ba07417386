// @ts-check
/** Every name that crosses a border of the player: attributes, events, states and the worker's messages. */

/** Attributes of the element. */
export const Attribute = Object.freeze({
	/** `/watch/app/name`, or such an address at another gateway. */
	SRC: "src",
	/** One of `Transport`. */
	TRANSPORT: "transport",
	/** One of `Decode`. */
	DECODE: "decode",
	/** How far behind live to play, in milliseconds; without it, the gateway says. */
	TARGET_DELAY: "target-delay",
	MUTED: "muted",
	AUTOPLAY: "autoplay",
	/** The player's own controls. */
	CONTROLS: "controls",
	/** A picture to show until there is one of the stream. */
	POSTER: "poster",
	/** No pictures are asked for. */
	AUDIO_ONLY: "audio-only",
	/** Figures over the picture. */
	STATS: "stats",
	/** What lets this viewer in, where not everybody is let in. */
	TOKEN: "token",
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

/** Events of the element. None bubbles. Those without a comment are as in HTML's media elements. */
export const EventName = Object.freeze({
	LOAD_START: "loadstart",
	LOADED_METADATA: "loadedmetadata",
	LOADED_DATA: "loadeddata",
	DURATION_CHANGE: "durationchange",
	CAN_PLAY: "canplay",
	PLAY: "play",
	PLAYING: "playing",
	PAUSE: "pause",
	WAITING: "waiting",
	STALLED: "stalled",
	/** The publisher has gone; `playing` follows if it returns. */
	ENDED: "ended",
	/** `error` says what. The player goes on by itself where it can. */
	ERROR: "error",
	EMPTIED: "emptied",
	TIME_UPDATE: "timeupdate",
	VOLUME_CHANGE: "volumechange",
	RESIZE: "resize",
	ENTER_PIP: "enterpictureinpicture",
	LEAVE_PIP: "leavepictureinpicture",
	/** `detail` is the new state. */
	STATE: "statechange",
	/** `detail` are the new statistics; four times a second while open. */
	STATS: "stats",
	/** `detail` is the transport. */
	TRANSPORT_CHANGE: "transportchange",
	/** `detail` is how far behind live it plays, in milliseconds; for changes of 50 ms and more. */
	DELAY_CHANGE: "delaychange",
	/** `detail` is the publisher's `onMetaData`. */
	METADATA: "metadata",
	/** `detail` is what the player has decided, see `Decision`: time, kind and detail. */
	DECISION: "decision",
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

/** What the player decides by itself. */
export const Decision = Object.freeze({
	/** Which transport won, or that none did. */
	RACE: "race",
	/** Another connection is tried in the background, or takes over. */
	MIGRATE: "migrate",
	/** The connection is lost. */
	RECONNECT: "reconnect",
	/** What is played jumps to what is due. */
	SKIP: "skip",
	/** It goes on faster, slower or as it is. */
	SPEED: "speed",
	/** Pictures are given up until the next key frame. */
	KEYFRAME: "keyframe",
	/** The page is hidden or frozen, or is there again; or the machine has slept. */
	BACKGROUND: "background",
	/** The network is another one. */
	NETWORK: "network",
});

/** Messages to the worker, with the members that they have beside `type`. */
export const ToWorker = Object.freeze({
	/** `source`, `wishes`, `canvas`: begin. */
	OPEN: "open",
	/** `output`: something to be heard by, or nothing. */
	OUTPUT: "output",
	/** `ms`: how long a sample takes from the audio thread to the ear. */
	LATENCY: "latency",
	/** `paused`. */
	PAUSE: "pause",
	/** `visible`: whether anybody can see the page; while nobody can, no pictures are asked for. */
	VISIBLE: "visible",
	/** `isAway`: whether the page stands still from now on, so that nothing is to be sent to it. */
	AWAY: "away",
	/** `isNew`: whether the network is another one; else it may not be what it was. */
	NETWORK: "network",
	/** `kind`, `detail`: what Media Source Extensions' player has decided, for the worker to keep with its own. */
	DECISION: "decision",
	/** End. */
	CLOSE: "close",
});

/** Messages from the worker, with the members that they have beside `type`. */
export const FromWorker = Object.freeze({
	/** `state`, one of `State`, and sometimes the `reason`. */
	STATE: "state",
	/** `stats`: see `Stats` in viewer.js. Four times a second. */
	STATS: "stats",
	/** `decision`: its time, kind and detail; see session/decisions.js. The last ones are in the statistics, too. */
	DECISION: "decision",
	/** `metadata`: the publisher's `onMetaData`. */
	METADATA: "metadata",
	/** `message`: for people; `fatal`, one of `Fatal` in element/problem.js: it ends playing. */
	TROUBLE: "trouble",
	/** `transport`: which was chosen; without one, the choice was wrong. */
	TRANSPORT: "transport",
	/** `decode`: which of `Decode` plays what follows. */
	DECODE: "decode",
	/** `format`: of the output that is wanted. */
	AUDIO_FORMAT: "audioFormat",
	/** `frame`: to be drawn and closed, where the worker has no canvas. */
	FRAME: "frame",
	/**
	 * For Media Source Extensions: `message` of the stream's, what is missing (`isOld`: and old pictures follow), the target's `ms`,
	 * that somebody publishes, a new beginning.
	 */
	MEDIA: "media",
	GAP: "gap",
	HINT: "hint",
	PUBLISHED: "published",
	RESET: "reset",
	/** `wanted`: whether pictures are to be shown; without, sound goes on alone. */
	VIDEO: "video",
});
