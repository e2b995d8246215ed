#!/usr/bin/env node
// The Solidity compiler as forge calls it, out of the npm package `solc` (the JavaScript build): `--version`, or
// standard JSON from standard input to standard output. Other flags of the native binary say nothing to it.
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

const solc = createRequire(import.meta.url)("solc");

/** Writes all of it: a pipe takes no more than it has room for. */
function write(text) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

if (process.argv.includes("--version")) {
  write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else {
  write(solc.compile(readFileSync(0, "utf8")));
}
