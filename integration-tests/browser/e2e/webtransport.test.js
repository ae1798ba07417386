// @ts-check
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { browser, firefox, gateway, PATIENCE_MS, requirePrograms } from "./harness.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("./harness.js").Page} Page */

const options = { timeout: 4 * PATIENCE_MS };
const BROWSERS = { Chromium: (/** @type {TestContext} */ test) => browser(test, { mayPlaySound: true }), Firefox: firefox };

before(requirePrograms);

for (const [name, open] of Object.entries(BROWSERS)) {
	test(`${name} reads lanes of a session, and learns why a lane is stopped and why the session ends`, options, async (test) => {
		const { http, stop } = await gateway(test);
		const { page } = /** @type {{ page: Page }} */ (await open(test));
		await page.goto(http);
		const { lanes, stopped } = await page.evaluate(begin);
		// The control lane, and the lane of the flow that answers ours.
		assert.deepEqual(lanes, [0, 1]);
		assert.equal(stopped, 3);
		stop();
		assert.deepEqual(await page.evaluate(() => /** @type {any} */ (globalThis).ended), { closeCode: 1001, reason: "going away" });
	});
}

/** Runs in the page: begins a session, asks for something, and says what the first lanes begin with. */
async function begin() {
	const { certificate_hashes, webtransport } = await (await fetch("/player/transports.json")).json();
	const [{ port, path }] = webtransport;
	const serverCertificateHashes = certificate_hashes.map((/** @type {string} */ hash) => {
		return { algorithm: "sha-256", value: Uint8Array.from(hash.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16)) };
	});
	const transport = new WebTransport(`https://${location.hostname}:${port}${path}live`, { serverCertificateHashes });
	const ended = transport.closed.then(({ closeCode, reason }) => ({ closeCode, reason }));
	await transport.ready;

	// A kind of lane that nobody knows.
	const unknown = (await transport.createUnidirectionalStream()).getWriter();
	await unknown.write(Uint8Array.of(0x33));
	const stopped = await unknown.closed.catch((error) => error.streamErrorCode);

	// Opens the control flow, on which an unknown command before connect would be answered by the end.
	const control = (await transport.createUnidirectionalStream()).getWriter();
	const open = [0x10, 0x00, 0x54, 0x43, 0x04, 0x00];
	await control.write(Uint8Array.of(0, open.length, ...open));
	const commands = (await transport.createUnidirectionalStream()).getWriter();
	// `connect` with number 1 and {app: "live"}.
	const text = (/** @type {string} */ text) => [0, text.length, ...new TextEncoder().encode(text)];
	const connect = [20, 0, 0, 0, 0, 2, ...text("connect"), 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 3, ...text("app"), 2, ...text("live"), 0, 0, 9];
	await commands.write(Uint8Array.of(1, 0, 0, 1, 0, 0, connect.length, ...connect));

	const incoming = transport.incomingUnidirectionalStreams.getReader();
	const lanes = [];
	const readers = [];
	for (let count = 0; count < 2; count++) {
		const { value: lane } = await incoming.read();
		const reader = lane.getReader();
		readers.push(reader);
		const { value } = await reader.read();
		lanes.push(value[0]);
	}
	// Held: Chromium has been seen to crash at the end of a session whose streams nobody held.
	Object.assign(globalThis, { transport, readers, unknown, control, commands, incoming, ended });
	return { lanes: lanes.sort(), stopped };
}
