import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EventParser, pauseMs } from "../source/api/events";
import { readProblem } from "../source/api/problem";

const stream = ': heartbeat\n\nevent: job\ndata: {"id":1}\n\ndata: one\r\ndata: two\r\n\r\nevent: job\n\n';
const events = [
  { event: "job", data: '{"id":1}' },
  { event: "message", data: "one\ntwo" },
];

describe("server-sent events", () => {
  it("reads names, data of several lines and comments", () => {
    expect(new EventParser().push(stream)).toEqual(events);
  });

  it("reads the same however the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: stream.length }), { maxLength: 8 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), stream.length];
        const parser = new EventParser();
        const found = places.slice(1).flatMap((end, index) => parser.push(stream.slice(places[index], end)));
        expect(found).toEqual(events);
      }),
    );
  });

  it("waits for the end of an event", () => {
    const parser = new EventParser();
    expect(parser.push("event: job\ndata: 1\n")).toEqual([]);
    expect(parser.push("\n")).toEqual([{ event: "job", data: "1" }]);
  });

  it("comes again later and later, half a minute apart at most", () => {
    expect([0, 1, 2, 50].map(pauseMs)).toEqual([500, 1000, 2000, 30_000]);
  });
});

describe("problems", () => {
  it("reads RFC 9457 documents with our code and advice", () => {
    const body = JSON.stringify({
      title: "Full",
      status: 503,
      detail: "Too many wait.",
      code: "queue-full",
      advice: "Later.",
    });
    const problem = readProblem(503, body, "60");
    expect(problem).toMatchObject({
      status: 503,
      code: "queue-full",
      message: "Too many wait.",
      advice: "Later.",
      retryAfterS: 60,
    });
  });

  it.each(["<html>", "", "3"])("makes do with anything else: %j", (body) => {
    expect(readProblem(502, body, null)).toMatchObject({ status: 502, code: "http-502", retryAfterS: null });
  });
});
