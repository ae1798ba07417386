// @ts-check
/**
 * One conversation over one connection: the only place that drives a session. What is particular to a transport is in the
 * classes that extend it.
 *
 * Invariant: after every change of the session it is drained before anything is awaited.
 * @module
 */

import { Conversation } from "../conversation.js";

/**
 * @typedef {object} Listener
 * @property {(now: number, event: import("../conversation.js").ConversationEvent) => void} handleEvent
 * @property {(reason: string) => void} handleClosed called once, unless the signal was aborted
 */

/**
 * A connection, from its attempt to its end.
 *
 * @template {import("../session/session.js").Session} S
 * @abstract
 */
export class Link {
	/** @protected */
	session;
	#conversation;
	#listener;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#timer;
	#closed = false;

	/**
	 * @param {S} session
	 * @param {import("../source.js").Source} source
	 * @param {string} format one of `Format`
	 * @param {Listener} listener
	 * @param {AbortSignal} signal ends it
	 */
	constructor(session, source, format, listener, signal) {
		this.session = session;
		this.#conversation = new Conversation(session, source, format);
		this.#listener = listener;
		signal.addEventListener("abort", () => this.close(), { once: true });
	}

	/**
	 * Stops all media, or lets it come again.
	 *
	 * @param {boolean} paused
	 */
	pause(paused) {
		this.drive(() => this.#conversation.pause(paused));
	}

	/**
	 * Asks for video or for none.
	 *
	 * @param {boolean} wanted
	 * @returns {boolean} whether it can be asked
	 */
	receiveVideo(wanted) {
		this.drive(() => this.#conversation.receiveVideo(wanted));
		return true;
	}

	/** Asks the gateway for a sign of life. */
	probe() {
		this.drive((now) => this.#conversation.probe(now));
	}

	/**
	 * For how long the gateway has owed a sign of life, in milliseconds.
	 *
	 * @param {number} now
	 */
	unanswered(now) {
		return this.#conversation.unanswered(now);
	}

	/** Smoothed round-trip time in milliseconds; nothing before it has been measured. */
	get rtt() {
		return this.#conversation.rtt;
	}

	/** @protected Whether it has ended. */
	get isClosed() {
		return this.#closed;
	}

	/** @protected The connection stands. */
	start() {
		this.drive(() => this.#conversation.start());
	}

	/**
	 * Changes the session, and does all that follows from it.
	 *
	 * @protected
	 * @param {(now: number) => void} change
	 */
	drive(change) {
		if (this.#closed) return;
		const now = performance.now();
		try {
			change(now);
			this.#conversation.handleSession(now);
			this.transmit();
		} catch (error) {
			return this.close(String(error));
		}
		for (let event = this.#conversation.pollEvent(); event; event = this.#conversation.pollEvent()) {
			if (event.type === "over") return this.close(event.reason);
			this.#listener.handleEvent(now, event);
		}
		this.#arm(now);
	}

	/**
	 * Ends it. With a reason, the listener is told.
	 *
	 * @protected
	 * @param {string} [reason]
	 */
	close(reason) {
		if (this.#closed) return;
		this.#closed = true;
		clearTimeout(this.#timer);
		this.shut();
		if (reason !== undefined) this.#listener.handleClosed(reason);
	}

	/** @protected Sends what the session has to send. */
	transmit() {}

	/** @protected Closes the connection. */
	shut() {}

	/** @param {number} now */
	#arm(now) {
		clearTimeout(this.#timer);
		const deadline = Math.min(this.session.pollTimeout(), this.#conversation.deadline);
		if (this.#closed || deadline === Infinity) return;
		this.#timer = setTimeout(() => this.drive((later) => this.#handleTimeout(later)), Math.max(deadline - now, 0));
	}

	/** @param {number} now */
	#handleTimeout(now) {
		this.session.handleTimeout(now);
		this.#conversation.handleTimeout(now);
	}
}
