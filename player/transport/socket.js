// @ts-check
/**
 * A WebSocket by either of the browser's two interfaces.
 *
 * | what | specification |
 * |---|---|
 * | WebSocket | WHATWG WebSockets |
 * | WebSocketStream: what is not read stays with the sender | github.com/ricea/websocketstream-explainer; Chromium alone |
 * @module
 */

/**
 * @typedef {object} SocketListener
 * @property {() => void} handleOpened
 * @property {(bytes: Uint8Array) => void} handleMessage
 * @property {(reason: string) => void} handleClosed
 */

/** @typedef {{ send: (bytes: Uint8Array<ArrayBuffer>) => void, close: () => void }} Socket */

const CLOSED = "the connection was closed";

/** Whether this browser has WebSocketStream. */
export function hasWebSocketStream() {
	return "WebSocketStream" in globalThis;
}

/**
 * Connects by WebSocket.
 *
 * @param {string} url
 * @param {SocketListener} listener
 * @returns {Socket}
 */
export function openSocket(url, listener) {
	const socket = new WebSocket(url);
	socket.binaryType = "arraybuffer";
	socket.onopen = () => listener.handleOpened();
	socket.onmessage = ({ data }) => {
		if (data instanceof ArrayBuffer) listener.handleMessage(new Uint8Array(data));
	};
	socket.onclose = () => listener.handleClosed(CLOSED);
	return { send: (bytes) => socket.send(bytes), close: () => socket.close() };
}

/**
 * Connects by WebSocketStream.
 *
 * @param {string} url
 * @param {SocketListener} listener
 * @param {string} [protocol] to speak
 * @returns {Socket}
 */
export function openSocketStream(url, listener, protocol) {
	if (!hasWebSocketStream()) throw new Error("no WebSocketStream in this browser");
	const stream = new /** @type {any} */ (globalThis).WebSocketStream(url, protocol ? { protocols: [protocol] } : undefined);
	/** @type {WritableStreamDefaultWriter<Uint8Array> | undefined} */
	let writer;
	const run = async () => {
		const { readable, writable } = await stream.opened;
		writer = writable.getWriter();
		listener.handleOpened();
		const reader = readable.getReader();
		for (;;) {
			const { value, done } = await reader.read();
			if (done) return listener.handleClosed(CLOSED);
			if (typeof value !== "string") listener.handleMessage(new Uint8Array(value));
		}
	};
	run().catch((error) => listener.handleClosed(error?.message || CLOSED));
	stream.closed.catch(() => {});
	return {
		send: (bytes) => {
			// One that can't be written is told by the reader.
			writer?.write(bytes).catch(() => {});
		},
		close: () => stream.close(),
	};
}
