// @ts-check
/**
 * FLOW_SYNC: flows that wait for each other, so that what is said on one comes in order with what is said on another.
 *
 * Defined by: RFC 7425, §5.3.3.
 * @module
 */

/** How long a flow waits at most, in milliseconds: a sync that was sent on too few flows must not stop the stream for good. */
export const MAX_WAIT_MS = 2000;

/**
 * The barriers that stand.
 *
 * @template Flow
 */
export class FlowSync {
	/** @type {Map<number, { flows: Set<Flow>, until: number }>} */
	#barriers = new Map();

	/**
	 * A flow has come to a barrier: it's to be paused, unless it's among those returned.
	 *
	 * @param {number} now
	 * @param {number} id
	 * @param {number} count of flows that meet here
	 * @param {Flow} flow
	 * @returns {Flow[]} flows that may go on
	 */
	arrive(now, id, count, flow) {
		const barrier = this.#barriers.get(id) ?? { flows: new Set(), until: now + MAX_WAIT_MS };
		barrier.flows.add(flow);
		if (barrier.flows.size < count) {
			this.#barriers.set(id, barrier);
			return [];
		}
		this.#barriers.delete(id);
		return [...barrier.flows];
	}

	/**
	 * @param {number} now
	 * @returns {Flow[]} flows that have waited long enough
	 */
	handleTimeout(now) {
		const due = [];
		for (const [id, { flows, until }] of this.#barriers) {
			if (now < until) continue;
			this.#barriers.delete(id);
			due.push(...flows);
		}
		return due;
	}

	/** When `handleTimeout` is wanted. */
	get deadline() {
		let soonest = Infinity;
		for (const { until } of this.#barriers.values()) soonest = Math.min(soonest, until);
		return soonest;
	}
}
