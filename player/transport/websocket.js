// @ts-check
/**
 * One conversation over one WebSocket: the only place that drives a session.
 *
 * Invariant: after every change of the session it is drained before anything is awaited.
 * @module
 */

import { Conversation } from "../conversation.js";
import { Session } from "../session/session.js";

/**
 * @typedef {object} Listener
 * @property {(now: number, event: import("../conversation.js").ConversationEvent) => void} handleEvent
 * @property {(reason: string) => void} handleClosed called once, unless the signal was aborted
 */

/** A connection, from its attempt to its end. */
export class WebSocketLink {
	#socket;
	#session = new Session(performance.now());
	#conversation;
	#listener;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#timer;
	#closed = false;

	/**
	 * @param {import("../source.js").Source} source
	 * @param {Listener} listener
	 * @param {AbortSignal} signal ends it
	 */
	constructor(source, listener, signal) {
		this.#listener = listener;
		this.#conversation = new Conversation(this.#session, source);
		this.#socket = new WebSocket(source.url);
		this.#socket.binaryType = "arraybuffer";
		const options = { signal };
		this.#socket.addEventListener("open", () => this.#drive(() => this.#conversation.start()), options);
		this.#socket.addEventListener("message", ({ data }) => this.#handleMessage(data), options);
		this.#socket.addEventListener("close", () => this.#close("the connection was closed"), options);
		signal.addEventListener("abort", () => this.#close(), { once: true });
	}

	/**
	 * Gives the conversation a command.
	 *
	 * @param {(conversation: Conversation) => void} command
	 */
	command(command) {
		this.#drive(() => command(this.#conversation));
	}

	/** Smoothed round-trip time in milliseconds; nothing before it has been measured. */
	get rtt() {
		return this.#session.rtt;
	}

	/** @param {unknown} data */
	#handleMessage(data) {
		if (data instanceof ArrayBuffer) this.#drive((now) => this.#session.handleMessage(now, new Uint8Array(data)));
	}

	/** @param {(now: number) => void} change */
	#drive(change) {
		if (this.#closed) return;
		const now = performance.now();
		try {
			change(now);
			this.#conversation.handleSession(now);
		} catch (error) {
			return this.#close(String(error));
		}
		for (let bytes = this.#session.pollTransmit(); bytes; bytes = this.#session.pollTransmit()) this.#socket.send(bytes);
		for (let event = this.#conversation.pollEvent(); event; event = this.#conversation.pollEvent()) {
			if (event.type === "over") return this.#close(event.reason);
			this.#listener.handleEvent(now, event);
		}
		this.#arm(now);
	}

	/** @param {number} now */
	#arm(now) {
		clearTimeout(this.#timer);
		const deadline = Math.min(this.#session.pollTimeout(), this.#conversation.deadline);
		if (this.#closed || deadline === Infinity) return;
		this.#timer = setTimeout(
			() =>
				this.#drive((later) => {
					this.#session.handleTimeout(later);
					this.#conversation.handleTimeout(later);
				}),
			Math.max(deadline - now, 0),
		);
	}

	/** @param {string} [reason] */
	#close(reason) {
		if (this.#closed) return;
		this.#closed = true;
		clearTimeout(this.#timer);
		this.#socket.close();
		if (reason !== undefined) this.#listener.handleClosed(reason);
	}
}
