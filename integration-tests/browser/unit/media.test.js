// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { AudioClock } from "../../../player/media/audio-clock.js";
import { aacConfig, avcConfig } from "../../../player/media/codec.js";
import { decodeUnit } from "../../../player/media/flv.js";
import { Ring } from "../../../player/media/ring.js";
import { Timeline } from "../../../player/media/timeline.js";
import { parseSource } from "../../../player/source.js";
import { bytes, hex } from "./vectors.js";

/**
 * @param {number} type
 * @param {string} body
 */
const unit = (type, body) => decodeUnit({ type, timestamp: 7, body: bytes(body) });

test("audio and video bodies become units", () => {
	const cases = /** @type {const} */ ([
		[8, "af00 1210", "audio", "configuration", "1210"],
		[8, "af01 2233", "audio", "key", "2233"],
		[9, "1700000000 0142c01e", "video", "configuration", "0142c01e"],
		[9, "1701000000 aa", "video", "key", "aa"],
		[9, "2701000000 aa", "video", "delta", "aa"],
		[9, "1702000000", "video", "end", ""],
	]);
	for (const [type, body, track, kind, payload] of cases) {
		const read = unit(type, body);
		assert.deepEqual([read?.track, read?.kind, read && hex(read.payload)], [track, kind, payload], body);
	}
});

test("composition times are signed", () => {
	assert.equal(unit(9, "2701000042 aa")?.composition, 66);
	assert.equal(unit(9, "2701ffffff aa")?.composition, -1);
});

test("other codecs are named unsupported", () => {
	for (const [type, body] of /** @type {const} */ ([[8, "2f01"], [9, "1c01000000 aa"], [9, "9068766331"]])) assert.equal(unit(type, body)?.kind, "unsupported");
});

test("bodies with nothing to decode are nothing", () => {
	for (const body of ["", "af", "af01"]) assert.equal(unit(8, body), undefined, body);
	for (const body of ["", "17", "170100", "1701000000", "57010000"]) assert.equal(unit(9, body), undefined, body);
});

test("an avcC names its profile, compatibility and level", () => {
	assert.equal(avcConfig(bytes("0164001fffe1"))?.codec, undefined);
	assert.equal(avcConfig(bytes("0142c01effe100"))?.codec, "avc1.42c01e");
	assert.equal(avcConfig(bytes("0042c01effe100")), undefined);
});

test("an AudioSpecificConfig names its object, rate and channels", () => {
	const read = (/** @type {string} */ text) => {
		const config = aacConfig(bytes(text));
		return config && [config.codec, config.sampleRate, config.numberOfChannels];
	};
	assert.deepEqual(read("1210"), ["mp4a.40.2", 44100, 2]);
	assert.deepEqual(read("1188"), ["mp4a.40.2", 48000, 1]);
	assert.deepEqual(read("2b11880 0"), ["mp4a.40.5", 48000, 2]);
	assert.deepEqual(read("eb098800"), ["mp4a.40.29", 48000, 2]);
	for (const text of ["", "12", "0010", "1200", "1690"]) assert.equal(read(text), undefined, text);
});

test("timestamps run on when they wrap, and may step back", () => {
	const timeline = new Timeline();
	assert.deepEqual(
		[0xffffff00, 0xfffffff0, 0x10, 0xfffffff0, 0x20].map((timestamp) => timeline.unwrap(timestamp) - 0xffffff00),
		[0, 0xf0, 0x110, 0xf0, 0x120],
	);
});

const RATE = 1000;

/**
 * @param {number} count
 * @param {number} value
 */
const plane = (count, value) => [new Float32Array(count).fill(value)];

/**
 * @param {Ring} ring
 * @param {number} count
 */
function pull(ring, count) {
	const output = new Float32Array(count).fill(9);
	ring.pull([output]);
	return [...output];
}

test("a ring is silent until it is told to play", () => {
	const ring = new Ring(RATE);
	ring.push(100, plane(4, 1));
	assert.deepEqual(pull(ring, 2), [0, 0]);
	assert.deepEqual(ring.report(), { playing: false, time: 100, pace: 1, bufferedMs: 4, seconds: 0, underruns: 0 });
	ring.play(100);
	assert.deepEqual(pull(ring, 2), [1, 1]);
	assert.deepEqual(ring.report(), { playing: true, time: 102, pace: 1, bufferedMs: 2, seconds: 0.002, underruns: 0 });
});

test("playing drops what is older", () => {
	const ring = new Ring(RATE);
	ring.push(100, plane(4, 1));
	ring.push(104, plane(4, 2));
	ring.play(106);
	assert.equal(ring.report().bufferedMs, 2);
	assert.deepEqual(pull(ring, 2), [2, 2]);
});

test("with nothing new enough a ring goes on waiting", () => {
	const ring = new Ring(RATE);
	ring.push(100, plane(4, 1));
	ring.play(500);
	assert.deepEqual(ring.report(), { playing: false, time: Infinity, pace: 1, bufferedMs: 0, seconds: 0, underruns: 0 });
});

test("a ring that runs out says so and waits", () => {
	const ring = new Ring(RATE);
	ring.push(100, plane(2, 1));
	ring.play(100);
	assert.deepEqual(pull(ring, 4), [1, 1, 0, 0]);
	assert.deepEqual([ring.report().playing, ring.report().underruns], [false, 1]);
	ring.push(200, plane(2, 1));
	assert.deepEqual(pull(ring, 2), [0, 0]);
});

test("a gap is silence while time runs on; a long one is skipped", () => {
	const ring = new Ring(RATE);
	ring.push(100, plane(2, 1));
	ring.push(122, plane(2, 2));
	ring.push(1000, plane(2, 3));
	ring.play(100);
	assert.deepEqual(pull(ring, 26), [1, 1, ...new Array(20).fill(0), 2, 2, 3, 3]);
	assert.equal(ring.report().time, 1002);
});

test("chunks a little apart follow each other", () => {
	const ring = new Ring(RATE);
	ring.push(100, plane(2, 1));
	ring.push(103, plane(2, 2));
	ring.play(100);
	assert.deepEqual(pull(ring, 4), [1, 1, 2, 2]);
});

test("one channel is played on all", () => {
	const ring = new Ring(RATE);
	ring.push(0, plane(2, 1));
	ring.play(0);
	const outputs = [new Float32Array(2), new Float32Array(2)];
	ring.pull(outputs);
	assert.deepEqual(outputs.map((output) => [...output]), [[1, 1], [1, 1]]);
});

test("a ring keeps three seconds at most", () => {
	const ring = new Ring(RATE);
	for (let time = 0; time < 10000; time += 100) ring.push(time, plane(100, 1));
	assert.equal(ring.report().bufferedMs, 3000);
	assert.equal(ring.report().time, 7000);
});

test("time that steps back begins anew", () => {
	const ring = new Ring(RATE);
	ring.push(5000, plane(4, 1));
	ring.play(5000);
	ring.push(10, plane(4, 2));
	assert.deepEqual(ring.report(), { playing: false, time: 10, pace: 1, bufferedMs: 4, seconds: 0, underruns: 0 });
});

test("the audio clock follows the report that was least delayed", () => {
	const clock = new AudioClock();
	const report = { playing: true, pace: 1, bufferedMs: 0, seconds: 0, underruns: 0 };
	clock.handleReport(1000, { ...report, time: 500 });
	clock.handleReport(1040, { ...report, time: 520 });
	assert.equal(clock.time(1050), 550);
	clock.handleReport(1060, { ...report, playing: false, time: 560 });
	assert.equal(clock.time(1060), undefined);
});

test("the audio clock goes on at the ring's pace, and so do older reports", () => {
	const clock = new AudioClock();
	const report = { playing: true, pace: 0.95, bufferedMs: 0, seconds: 0, underruns: 0 };
	clock.handleReport(1000, { ...report, time: 500 });
	assert.equal(clock.time(1100), 595);
	clock.handleReport(1200, { ...report, time: 680 });
	assert.equal(clock.time(1200), 690, "the first report was the one least delayed");
});

test("an audio clock that falls silent does not lead", () => {
	const clock = new AudioClock();
	clock.handleReport(1000, { playing: true, time: 0, pace: 1, bufferedMs: 0, seconds: 0, underruns: 0 });
	assert.equal(clock.time(2000), undefined);
});

test("a stream's address is a page, a path or a WebSocket URL", () => {
	const base = "https://example.org:8443/watch/live/test";
	const expected = { url: "wss://example.org:8443/live", app: "live", name: "test" };
	for (const text of ["/watch/live/test", "/embed/live/test", "/live/test", "wss://example.org:8443/live/test", base]) {
		assert.deepEqual(parseSource(text, base), expected, text);
	}
	assert.deepEqual(parseSource("ws://h/a/b/c%20d?format=raw", base), { url: "ws://h/a/b", app: "a/b", name: "c d?format=raw" });
	assert.deepEqual(parseSource("ws://h/a/b/c?token=1", base), { url: "ws://h/a/b", app: "a/b", name: "c", token: "1" });
	assert.deepEqual(parseSource("/watch/watch/x", base)?.app, "watch");
	for (const text of ["", "/", "/live", "ftp://h/a/b", "http://"]) assert.equal(parseSource(text, "https://example.org/"), undefined, text);
});

/**
 * A tone, in a ring that plays it from 0 on.
 *
 * @param {number} rate
 * @param {number} seconds
 */
function tone(rate, seconds) {
	const ring = new Ring(rate);
	for (let at = 0; at < rate * seconds; at += rate / 50) {
		ring.push((at / rate) * 1000, [Float32Array.from({ length: rate / 50 }, (_, i) => Math.sin((2 * Math.PI * 220 * (at + i)) / rate))]);
	}
	ring.play(0);
	return ring;
}

/** @param {number} pace */
function playAt(pace) {
	const rate = 48000;
	const ring = tone(rate, 2);
	ring.setPace(pace);
	const samples = [];
	for (let i = 0; i < rate / 128; i++) samples.push(...pull(ring, 128));
	return { samples, time: ring.report().time };
}

for (const pace of [0.95, 1.02, 1.05]) {
	test(`at a pace of ${pace} a second of sound takes that much of the stream, at its own pitch and without clicks`, () => {
		const { samples, time } = playAt(pace);
		assert.ok(Math.abs(time - 1000 * pace) < 13, `${time} ms`);
		const crossings = samples.filter((sample, i) => i > 0 && samples[i - 1] < 0 && sample >= 0).length;
		assert.ok(Math.abs(crossings - 220) <= 2, `${crossings} periods`);
		const step = Math.max(...samples.map((sample, i) => (i > 0 ? Math.abs(sample - samples[i - 1]) : 0)));
		assert.ok(step < 0.035, `${step} from one sample to the next`);
	});
}

test("the time of a ring runs without jumps while it is stretched", () => {
	const ring = tone(48000, 2);
	ring.setPace(1.05);
	for (let before = 0; before < 900; ) {
		pull(ring, 128);
		const { time } = ring.report();
		assert.ok(time > before && time - before < 10, `from ${before} to ${time}`);
		before = time;
	}
});

test("a ring that has too little ahead is not stretched", () => {
	const ring = new Ring(RATE);
	ring.push(0, plane(10, 1));
	ring.play(0);
	ring.setPace(0.95);
	assert.deepEqual(pull(ring, 10), new Array(10).fill(1));
});
