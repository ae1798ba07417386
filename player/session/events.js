// @ts-check
/**
 * What a session has to tell, oldest first; the same on every wire.
 * @module
 */

/** @typedef {import("./incoming.js").IncomingFlow} IncomingFlow */
/** @typedef {import("./session.js").SessionEvent} SessionEvent */

/** The events of one session. */
export class EventQueue {
	/** @type {SessionEvent[]} */
	#events = [];
	/** @type {IncomingFlow | undefined} Its opening was told; it has until the next event to be accepted. */
	#offered;

	/** @param {SessionEvent} event */
	push(event) {
		this.#events.push(event);
	}

	/**
	 * Lets a flow's events come, those that were kept back first.
	 *
	 * @param {IncomingFlow} flow
	 */
	resume(flow) {
		this.#events.unshift(...flow.resume());
	}

	/**
	 * @param {(flow: IncomingFlow) => void} reject what nobody accepted
	 * @returns {SessionEvent | undefined}
	 */
	poll(reject) {
		if (this.#offered?.isOffered) reject(this.#offered);
		this.#offered = undefined;
		for (;;) {
			const event = this.#events.shift();
			if (event?.type === "opened") this.#offered = event.flow;
			if (event?.type === "message" || event?.type === "gap") {
				if (!event.flow.isOpen || event.flow.hold(event)) continue;
			} else if (event?.type === "closed" && event.flow.hold(event)) {
				continue;
			}
			return event;
		}
	}
}
