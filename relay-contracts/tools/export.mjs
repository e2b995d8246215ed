#!/usr/bin/env node
// Writes what the crate `nacre-chain` makes its bindings of: ../chain/contracts/<Name>.json, {abi, bytecode} of what
// `forge build` left in out/. They are committed, so that a build of the workspace needs neither npm nor forge.
// With --check nothing is written: it fails where the committed files are not what the sources give.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const CONTRACTS = [
  "EnclaveRegistry",
  "OperatorStaking",
  "NodeBook",
  "UptimeOracle",
  "JobRelay",
  "JobSubscriptions",
  "ContractDirectory",
  "DigitGate",
  "RiskParameter",
  "DevToken",
];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, "..", "chain", "contracts");
const check = process.argv.includes("--check");

/** Kinds and names in a fixed order, whatever the compiler's. */
function order(one, other) {
  const key = ({ type, name = "", inputs = [] }) => `${type} ${name} ${inputs.map((input) => input.type)}`;
  return key(one) < key(other) ? -1 : 1;
}

function exported(name) {
  const artifact = JSON.parse(readFileSync(join(root, "out", `${name}.sol`, `${name}.json`), "utf8"));
  const { object, linkReferences } = artifact.bytecode;
  if (Object.keys(linkReferences).length > 0) throw new Error(`${name} needs libraries linked in`);
  // One item of the interface a line: a change shows as what it is.
  const items = artifact.abi.sort(order).map((item) => `    ${JSON.stringify(item)}`);
  return `{\n  "abi": [\n${items.join(",\n")}\n  ],\n  "bytecode": ${JSON.stringify(object)}\n}\n`;
}

mkdirSync(target, { recursive: true });
const off = [];
for (const name of CONTRACTS) {
  const path = join(target, `${name}.json`);
  const text = exported(name);
  if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
  if (!check) writeFileSync(path, text);
  off.push(relative(root, path));
}
for (const file of readdirSync(target)) {
  if (!CONTRACTS.includes(file.replace(/\.json$/, ""))) off.push(`${relative(root, join(target, file))} (nobody's)`);
}
if (check && off.length > 0) {
  console.error(`not what the sources give: ${off.join(", ")}\nrun: npm run export`);
  process.exitCode = 1;
} else if (off.length > 0) {
  console.log(`written: ${off.join(", ")}`);
}
