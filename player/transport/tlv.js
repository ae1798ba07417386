// @ts-check
/**
 * The dialects without flows: one stream as fragmented MP4, messages as they come.
 *
 * A gateway that is told nothing can't be told to pause: the connection is closed, and another opened.
 * @module
 */

import { decodeStatus } from "../conversation.js";
import { TOKEN } from "../source.js";
import { decodeTlv, encodeAcknowledgement } from "../wire/tlv.js";

/** Subprotocol of the dialect that is paced by the transport. */
export const SUBPROTOCOL = "websocketstream";
/** So many bytes are acknowledged at once: a tenth of what the gateway sends without. */
const ACKNOWLEDGE_BYTES = 250_000;
/** Nothing for so long while somebody publishes is no pause between frames any more, in milliseconds: the gateway owes something. */
const QUIET_MS = 1500;
/** Nothing at all for so long while somebody publishes means that the connection is dead, in milliseconds. */
const SILENCE_MS = 10_000;

/** A connection, from its attempt to its end. */
export class TlvLink {
	/** There is nothing to measure by. */
	rtt = undefined;

	#url;
	#listener;
	#open;
	#acknowledges;
	/** @type {import("./socket.js").Socket | undefined} */
	#socket;
	#received = 0;
	#acknowledged = 0;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#silence;
	#isPublished = false;
	#heardAt = Infinity;
	#closed = false;

	/**
	 * @param {import("../source.js").Source} source
	 * @param {import("./link.js").Listener} listener
	 * @param {AbortSignal} signal ends it
	 * @param {(url: string, listener: import("./socket.js").SocketListener) => import("./socket.js").Socket} open
	 * @param {{ acknowledges: boolean }} dialect
	 */
	constructor(source, listener, signal, open, { acknowledges }) {
		this.#url = streamAddress(source);
		this.#listener = listener;
		this.#open = open;
		this.#acknowledges = acknowledges;
		signal.addEventListener("abort", () => this.#close(), { once: true });
		this.#connect();
	}

	/**
	 * Stops all media, or lets it come again.
	 *
	 * @param {boolean} paused
	 */
	pause(paused) {
		if (this.#closed || paused === !this.#socket) return;
		if (paused) this.#disconnect();
		else this.#connect();
	}

	/** There is nothing to ask with: video comes as it does. */
	receiveVideo() {
		return false;
	}

	/** There is nothing to ask with. */
	probe() {
		this.#heardAt = performance.now();
	}

	/**
	 * For how long the gateway has owed a sign of life, in milliseconds.
	 *
	 * @param {number} now
	 */
	unanswered(now) {
		return this.#isPublished ? Math.max(now - this.#heardAt - QUIET_MS, 0) : 0;
	}

	#connect() {
		this.#received = this.#acknowledged = 0;
		const socket = this.#open(this.#url, {
			handleOpened: () => {},
			handleMessage: (bytes) => {
				if (socket === this.#socket) this.#handleMessage(bytes);
			},
			handleClosed: (reason) => {
				if (socket === this.#socket) this.#close(reason);
			},
		});
		this.#socket = socket;
	}

	#disconnect() {
		clearTimeout(this.#silence);
		const socket = this.#socket;
		this.#socket = undefined;
		socket?.close();
	}

	/** @param {Uint8Array} bytes */
	#handleMessage(bytes) {
		const now = performance.now();
		this.#received += bytes.length;
		this.#heardAt = now;
		try {
			for (const message of decodeTlv(bytes)) {
				if (message.type === "metadata") this.#handleMetadata(now, message.name, message.values);
				else this.#listener.handleEvent(now, { type: "tlv", message });
				// Whoever listens may have ended it.
				if (!this.#socket) return;
			}
		} catch (error) {
			return this.#close(String(error));
		}
		this.#acknowledge();
		clearTimeout(this.#silence);
		if (this.#isPublished) this.#silence = setTimeout(() => this.#close("the gateway fell silent"), SILENCE_MS);
	}

	/**
	 * @param {number} now
	 * @param {string} name
	 * @param {unknown[]} values
	 */
	#handleMetadata(now, name, values) {
		const info = /** @type {Record<string, any> | undefined} */ (values.find((value) => typeof value === "object" && value !== null));
		if (!info) return;
		if (name !== "onStatus") return name === "onMetaData" ? this.#listener.handleEvent(now, { type: "metadata", metadata: info }) : undefined;
		const event = decodeStatus(info);
		if (event?.type === "published") this.#isPublished = true;
		if (event?.type === "unpublished") this.#isPublished = false;
		if (event?.type === "over") this.#close(event.reason);
		else if (event) this.#listener.handleEvent(now, event);
	}

	#acknowledge() {
		if (!this.#acknowledges || this.#received - this.#acknowledged < ACKNOWLEDGE_BYTES) return;
		this.#acknowledged = this.#received;
		this.#socket?.send(encodeAcknowledgement(this.#received));
	}

	/** @param {string} [reason] */
	#close(reason) {
		if (this.#closed) return;
		this.#closed = true;
		this.#disconnect();
		if (reason !== undefined) this.#listener.handleClosed(reason);
	}
}

/**
 * Where a stream is that a WebSocket without flows plays.
 *
 * @param {import("../source.js").Source} source
 */
export function streamAddress({ url, name, token }) {
	const address = new URL(url);
	const end = name.includes("?") ? name.indexOf("?") : name.length;
	address.pathname = `/ws${address.pathname}/${encodeURIComponent(name.slice(0, end))}`;
	address.search = name.slice(end);
	// Such a client says nothing but its address.
	if (token) address.searchParams.set(TOKEN, token);
	return address.href;
}
