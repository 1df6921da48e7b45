import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { isName, newKey } from "../index.js";

const vectors = new URL("../../../crates/chat-proto/vectors/names.json", import.meta.url);

test("names are those that the server takes", async () => {
  const cases = JSON.parse(await readFile(vectors, "utf8"));
  assert.ok(cases.length > 10);
  for (const { note, value, name } of cases) assert.equal(isName(value), name, note);
});

test("what is no text is no name", () => {
  for (const value of [null, undefined, 7, ["a"]]) assert.equal(isName(value), false);
});

test("keys fit the wire and do not repeat", () => {
  const keys = new Set(Array.from({ length: 1000 }, newKey));
  assert.equal(keys.size, 1000);
  for (const key of keys) assert.match(key, /^c-[0-9a-f]{32}$/);
});
