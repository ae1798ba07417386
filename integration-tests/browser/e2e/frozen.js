// @ts-check
/** A UDP path that can freeze: what comes is handed on until then, and swallowed after. */

import { createSocket } from "node:dgram";

/** @typedef {import("node:test").TestContext} TestContext */

/**
 * Puts one before a port of this machine.
 *
 * @param {TestContext} test
 * @param {number} target
 * @returns {Promise<{ port: number, freeze: () => void }>}
 */
export async function udpPath(test, target) {
	let isFrozen = false;
	const inner = createSocket("udp4");
	/** @type {Map<number, import("node:dgram").Socket>} Ways to the target, by the client's port. */
	const ways = new Map();
	inner.on("message", (bytes, { port }) => {
		if (isFrozen) return;
		let way = ways.get(port);
		if (!way) {
			way = createSocket("udp4");
			way.on("message", (answer) => {
				if (!isFrozen) inner.send(answer, port, "127.0.0.1");
			});
			ways.set(port, way);
		}
		way.send(bytes, target, "127.0.0.1");
	});
	test.after(() => {
		for (const socket of [inner, ...ways.values()]) socket.close();
	});
	await new Promise((bound) => inner.bind(0, "127.0.0.1", () => bound(undefined)));
	return {
		port: inner.address().port,
		freeze: () => {
			isFrozen = true;
		},
	};
}
