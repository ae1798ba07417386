// @ts-check
/**
 * Which transport won last, for a few hours: what a network lets through seldom changes. One entry for each gateway, in the
 * page's storage; a worker has none.
 * @module
 */

/** How long a choice is good, in milliseconds. A network that has let nothing better through gets another chance then. */
export const LIFE_MS = 4 * 3600_000;

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store */

/** The choices of a page. Without a store, or with one that fails, nothing is remembered. */
export class Memory {
	#store;

	/** @param {() => Store} open the page's storage; pages that may have none throw */
	constructor(open) {
		try {
			this.#store = open();
		} catch {
			// Nothing is kept then.
		}
	}

	/**
	 * @param {number} now wall clock
	 * @param {string} gateway
	 * @returns {string | undefined} the transport
	 */
	recall(now, gateway) {
		try {
			const { transport, until } = JSON.parse(this.#store?.getItem(key(gateway)) ?? "{}");
			return typeof transport === "string" && now < until && until <= now + LIFE_MS ? transport : undefined;
		} catch {
			return undefined;
		}
	}

	/**
	 * @param {number} now wall clock
	 * @param {string} gateway
	 * @param {string | undefined} transport nothing to forget what was chosen
	 */
	remember(now, gateway, transport) {
		try {
			if (transport === undefined) this.#store?.removeItem(key(gateway));
			else this.#store?.setItem(key(gateway), JSON.stringify({ transport, until: now + LIFE_MS }));
		} catch {
			// The storage is full, or closed to us.
		}
	}
}

/** @param {string} gateway */
function key(gateway) {
	return `headwater-player transport ${gateway}`;
}
