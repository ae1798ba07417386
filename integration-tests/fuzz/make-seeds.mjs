#!/usr/bin/env node
// Makes seeds/: a few small seeds for each target, from what genuine peers have sent.
//
//   make-seeds.mjs [RTMP host:port]
//
// With the address of a running gateway, FFmpeg's publishing is recorded anew; without it, that seed stays as it is.

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";

const clip = new URL("../../src/demo/clip.flv", import.meta.url);
const vectors = JSON.parse(readFileSync(new URL("../vectors/rtwebsocket.json", import.meta.url)));
const lanes = JSON.parse(readFileSync(new URL("../vectors/lanes.json", import.meta.url)));

/** Longest recorded message that is worth its place. */
const MAX_MESSAGE = 500;
/** FFmpeg's side of the handshake: C0, C1 and C2. */
const HANDSHAKE = 1 + 2 * 1536;
/** Enough for the commands, both configurations and some frames. */
const RECORDED = 6000;

const u8 = (...bytes) => Buffer.from(bytes);
const u16 = (number) => u8(number >> 8, number & 0xff);
const u32 = (number) => Buffer.concat([u16(number >>> 16), u16(number & 0xffff)]);

function write(target, name, parts) {
  const folder = new URL(`seeds/${target}/`, import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(name, folder), Buffer.concat(parts));
}

/** One recorded conversation's messages in one direction. */
function recorded(conversation, direction) {
  return vectors
    .filter((vector) => vector.name.startsWith(`${conversation} #`) && vector.direction === direction)
    .map((vector) => Buffer.from(vector.hex, "hex"))
    .filter((message) => message.length <= MAX_MESSAGE);
}

/** What a client said to a server whose flows start at 2, as said to one whose flows start at 0 and that sent less. */
function adapted(message) {
  const [kind, first, second] = message;
  if (kind === 0x30) return [Buffer.concat([u8(kind, first, second - 2), message.subarray(3)])];
  if (kind === 0x5a) return second === 0 ? [Buffer.concat([u8(kind, first - 2), message.subarray(2)])] : [];
  return [message];
}

function fromVectors() {
  const conversations = new Set(vectors.map((vector) => /^(.*) #/.exec(vector.name)?.[1]).filter(Boolean));
  const seen = new Set();
  for (const conversation of conversations) {
    const name = conversation.replace(/\W+/g, "-");
    const toServer = recorded(conversation, "client->server").flatMap(adapted);
    const toClient = recorded(conversation, "server->client");
    const input = (message) => [u8(15, 0), u16(message.length), message];
    // A server's two flows, then what a client says; and the other way round.
    const opened = [u8(0, 0), u16(0), u8(0, 0), u16(0), u8(0, 1), u16(0), u8(1, 1), u16(3), u8(1, 2, 3)];
    if (toServer.length > 3) {
      write("rtwebsocket", `${name}-client`, [...opened, ...toServer.flatMap(input)]);
      write("viewer", name, toServer.flatMap((message) => [u16(message.length), message, u16(0)]));
    }
    if (toClient.length > 3) write("rtwebsocket", `${name}-server`, [...opened, ...toClient.flatMap(input)]);
    for (const message of [...toServer, ...toClient]) {
      // Whole messages of flows with a one-byte number: type and flow, then TC's header of type and time.
      const [kind, flow, type] = message;
      if (kind !== 0x1d || flow > 0x7f || ![4, 18, 20].includes(type)) continue;
      const tc = message.subarray(2);
      const command = /[a-zA-Z|@_]{4,}/.exec(tc.toString("latin1"))?.[0] ?? "user-control";
      const seed = command.replace(/\W+/g, "");
      if (seen.has(seed)) continue;
      seen.add(seed);
      write("tc", seed, [tc]);
      if (type !== 4) write("amf0", seed, [tc.subarray(5)]);
    }
  }
}

function fromClip() {
  const flv = readFileSync(clip);
  const messages = [];
  for (let at = 13; at + 15 < flv.length && messages.length < 40; ) {
    const length = flv.readUIntBE(at + 1, 3);
    const time = flv.readUIntBE(at + 4, 3) | (flv[at + 7] << 24);
    const body = flv.subarray(at + 11, at + 11 + Math.min(length, 60));
    messages.push(Buffer.concat([u8(flv[at]), u32(time), u16(10), u16(body.length), body]));
    at += 11 + length + 4;
  }
  write("flv", "clip", messages);
}

/** As browsers send them. */
function fromBrowsers() {
  const text = (text) => Buffer.from(text);
  const grease = [u8(0x21, 6), text("grease"), u8(0, 8, 0x17, 6), text("grease")];
  write("http3", "close", [u8(0, 10, 0x68, 0x43, 7, 0, 0, 0, 7), text("bye")]);
  write("http3", "grease", [...grease, u8(0, 6, 0x68, 0x43, 4, 0, 0, 0), u8(0, 1, 5)]);
  const indexed = [u8(0, 0, 0xd1, 0xd7, 0x50, 9), text("localhost"), u8(0xc1)];
  const shortened = [u8(0x5f, 0x50, 0x82, 0x64, 0x02, 0x2f, 0x01, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f, 1), text("v")];
  write("http3", "request", [...indexed, ...shortened]);
}

/** Records what FFmpeg sends when it publishes, through a proxy. */
function fromFfmpeg(gateway) {
  const [host, port] = gateway.split(":");
  const pieces = [];
  const proxy = createServer((client) => {
    const server = connect(Number(port), host);
    const end = () => (client.destroy(), server.destroy());
    client.on("error", end).on("close", end);
    server.on("error", end).on("close", end);
    client.on("data", (bytes) => pieces.push(bytes)).pipe(server);
    server.pipe(client);
  });
  proxy.listen(0, "127.0.0.1", () => {
    const url = `rtmp://127.0.0.1:${proxy.address().port}/live/test`;
    const publish = ["-v", "error", "-nostdin", "-i", clip.pathname, "-t", "0.2", "-c", "copy", "-f", "flv", url];
    spawn("ffmpeg", publish, { stdio: "inherit" }).on("exit", () => {
      const sent = Buffer.concat(pieces).subarray(HANDSHAKE, HANDSHAKE + RECORDED);
      write("rtmp_chunks", "ffmpeg", [u8(0), sent]);
      proxy.close();
    });
  });
}

fromVectors();
fromClip();
fromBrowsers();
if (process.argv[2]) fromFfmpeg(process.argv[2]);

/** Each vector of lanes: what came on which, and how it ended. */
for (const { name, steps } of lanes) {
  const ends = { finish: 9, reset: 10 };
  const input = steps.flatMap(({ lane, hex, end }) => {
    const data = Buffer.from(hex, "hex");
    return [u8(15, lane), u16(data.length), data, ...(end ? [u8(ends[end], lane), u16(0)] : [])];
  });
  write("lanes", name.replaceAll(/[^a-z0-9]+/g, "-"), input);
}
