// @ts-check
/** What the gateway makes for Media Source Extensions, given to them as it comes, in every browser that has them. */

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Decode, Transport } from "../../../player/names.js";
import { browser, firefox, gateway, PATIENCE_MS, publisher, requirePrograms, stats, until } from "./harness.js";

const options = { timeout: 4 * PATIENCE_MS };
/** How long is played, in seconds. */
const SECONDS = 4;

before(requirePrograms);

/** @typedef {{ type: number, value: Uint8Array<ArrayBuffer> }} Tlv */

/**
 * Runs in the page: plays a stream for some seconds from a WebSocket without flows, a source buffer a track, and says what came.
 *
 * @param {{ dialect: string, seconds: number, patience: number }} what
 */
async function play({ dialect, seconds, patience }) {
	const video = document.createElement("video");
	video.muted = true;
	document.body.append(video);
	const media = new MediaSource();
	video.src = URL.createObjectURL(media);
	await new Promise((opened) => media.addEventListener("sourceopen", opened, { once: true }));

	/** @type {Map<string, { buffer: SourceBuffer, waiting: Uint8Array<ArrayBuffer>[] }>} */
	const tracks = new Map();
	/**
	 * A buffer takes more before it says so: a message may come between.
	 *
	 * @param {{ buffer: SourceBuffer, waiting: Uint8Array<ArrayBuffer>[] }} track
	 */
	const feed = ({ buffer, waiting }) => {
		const next = buffer.updating ? undefined : waiting.shift();
		if (next) buffer.appendBuffer(next);
	};
	/** @param {string} kind @param {Uint8Array<ArrayBuffer>} bytes */
	const append = (kind, bytes) => {
		const track = tracks.get(kind);
		if (!track) throw new Error(`no header of ${kind}`);
		track.waiting.push(bytes);
		feed(track);
	};
	/** @type {string[]} */
	const codecs = [];
	/** @type {string[]} */
	const metadata = [];
	let keyframes = 0;
	/** Both tracks are made before either is fed: no more can be added later. @param {Tlv} message */
	const take = ({ type, value }) => {
		const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
		if (type === 1) {
			const length = view.getUint32(4);
			const codec = new TextDecoder().decode(value.subarray(8, 8 + length));
			const kind = view.getUint16(0) > 0 ? "video" : "audio";
			codecs.push(codec);
			const buffer = media.addSourceBuffer(`${kind}/mp4; codecs="${codec}"`);
			const track = { buffer, waiting: /** @type {Uint8Array<ArrayBuffer>[]} */ ([]) };
			tracks.set(kind, track);
			buffer.addEventListener("updateend", () => feed(track));
			track.waiting.push(value.subarray(8 + length));
		} else if (type === 2 || type === 4) {
			append(type === 2 ? "video" : "audio", value);
		} else if (type === 3) {
			keyframes += 1;
		} else if (type === 5) {
			metadata.push(new TextDecoder().decode(value));
		}
	};
	/** @type {Tlv[]} */
	const early = [];
	let received = 0;
	const url = new URL("/ws/live/test", location.href.replace("http", "ws"));
	const socket = new WebSocket(url, dialect === "websocket" ? [] : [dialect]);
	socket.binaryType = "arraybuffer";
	socket.addEventListener("message", ({ data }) => {
		received += data.byteLength;
		for (let at = 0; at < data.byteLength; ) {
			const view = new DataView(data, at);
			const message = { type: view.getUint8(0), value: new Uint8Array(data, at + 5, view.getUint32(1)) };
			at += 5 + message.value.byteLength;
			if (message.type === 1 || tracks.size === 2) take(message);
			else early.push(message);
			if (tracks.size === 2) for (const one of early.splice(0)) take(one);
		}
		const control = new DataView(new ArrayBuffer(14));
		control.setUint8(0, 6);
		control.setUint32(1, 9);
		control.setUint8(5, 1);
		control.setBigUint64(6, BigInt(received));
		socket.send(control.buffer);
	});
	const sleep = (/** @type {number} */ ms) => new Promise((done) => setTimeout(done, ms));
	const end = performance.now() + patience;
	const buffered = () => (video.buffered.length > 0 ? video.buffered.end(video.buffered.length - 1) - video.buffered.start(0) : 0);
	while (buffered() < 1 && performance.now() < end && !video.error) await sleep(50);
	if (video.buffered.length > 0) video.currentTime = video.buffered.start(0);
	const from = video.currentTime;
	// It begins when there is enough; that it does is seen by its clock.
	void video.play().catch(() => {});
	while (video.currentTime < from + seconds && performance.now() < end && !video.error) await sleep(50);
	const quality = video.getVideoPlaybackQuality();
	return {
		protocol: socket.protocol,
		codecs: codecs.sort(),
		keyframes,
		published: metadata.some((text) => JSON.parse(text).values?.[0]?.code === "NetStream.Play.PublishNotify"),
		played: video.currentTime - from,
		ranges: video.buffered.length,
		width: video.videoWidth,
		shown: quality.totalVideoFrames - quality.droppedVideoFrames,
		error: video.error?.message ?? "",
	};
}

for (const [name, open] of /** @type {const} */ ([
	["Chromium", (/** @type {any} */ test) => browser(test, { mayPlaySound: true })],
	["Firefox", firefox],
])) {
	for (const dialect of ["websocket", "websocketstream"]) {
		test(`${name} plays fragmented MP4 from ${dialect}`, options, async (test) => {
			const { rtmp, http } = await gateway(test);
			publisher(test, `${rtmp}/live/test`);
			const { page } = await open(test);
			await page.goto(http);
			const what = { dialect, seconds: SECONDS, patience: PATIENCE_MS };
			const seen = await /** @type {any} */ (page).evaluate(play, what);
			const { played, shown, keyframes, ...rest } = seen;
			assert.deepEqual(rest, {
				protocol: dialect === "websocket" ? "" : dialect,
				codecs: ["avc1.42c00d", "mp4a.40.2"],
				published: true,
				ranges: 1,
				width: 320,
				error: "",
			});
			assert.ok(played >= SECONDS && keyframes >= SECONDS, JSON.stringify(seen));
			assert.ok(shown > SECONDS * 10, `${shown} frames shown in ${SECONDS} s`);
		});
	}
}

for (const transport of [Transport.RTWEBSOCKET, Transport.WEBSOCKET]) {
	test(`over ${transport} a paused player goes on with what is live, and follows a publisher that returns with another configuration`, options, async (test) => {
		const { rtmp, http } = await gateway(test);
		const first = publisher(test, `${rtmp}/live/test`);
		const { page, errors } = await browser(test, { mayPlaySound: true });
		await page.goto(`${http}/watch/live/test?transport=${transport}&decode=${Decode.MSE}`);
		await playsOn();
		await page.getByRole("button", { name: "Pause" }).click();
		await until(page, { state: "paused", audioLeads: false });
		await page.getByRole("button", { name: "Play" }).click();
		await playsOn();
		await first.kill();
		await until(page, { state: "waiting" });
		// Of another profile, which has such frames.
		publisher(test, `${rtmp}/live/test`, { bFrames: true });
		await playsOn();
		assert.deepEqual(errors, []);

		async function playsOn() {
			const { framesShown = 0, audioSeconds = 0 } = await stats(page);
			await until(page, { state: "playing", transport, decode: Decode.MSE, framesShown: framesShown + 30, audioSeconds: audioSeconds + 1, audioLeads: true });
			const { delayMs = Infinity } = await stats(page);
			assert.ok(delayMs < 1000, `${delayMs} ms behind`);
		}
	});
}
