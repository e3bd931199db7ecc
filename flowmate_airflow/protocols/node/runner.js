'use strict';

// Runs a component of the Open Integration Hub or of elastic.io, as it is, in its own image:
//
//   node runner.js run FUNCTION             also: lookup, startup, shutdown, metamodel, check, describe
//   node runner.js select FUNCTION MODEL
//
// stdin and stdout are NDJSON: a CONFIG line and MESSAGE lines in, events out. Everything else goes to the log.
// It runs on Node 8 and later and uses nothing but Node's own modules.

const { Component, componentFolder } = require('./component');
const { describeComponent } = require('./describe');
const { EXIT_CODES, Failure, describe, failureType } = require('./failures');
const { Guard } = require('./guard');
const { Lines } = require('./input');
const { takeOver } = require('./noise');
const { Output } = require('./output');
const { lookup, run } = require('./run');
const { detect } = require('./sdk');
const services = require('./services');
const { Session } = require('./session');
const { Step } = require('./step');

const STREAMING = { run, lookup };
const ANSWERING = services;
const VERBS = Object.keys(STREAMING).concat(Object.keys(ANSWERING), 'describe');

async function work(host, verb, name, model) {
  if (!VERBS.includes(verb)) {
    throw new Failure(`unknown verb ${verb || '(none)'}; it is one of ${VERBS.join(', ')}`, 'config');
  }
  const folder = componentFolder();
  if (verb === 'describe') {
    host.output.send(describeComponent(new Component(folder), detect(folder)));
    return 0;
  }
  const lines = new Lines(0);
  const session = new Session(await lines.next());
  if (!name && verb !== 'check') {
    throw new Failure(`which function? the arguments are: ${verb} FUNCTION`, 'config');
  }
  const step = new Step(host, session, new Component(folder), detect(folder, session.settings.dialect));
  if (STREAMING[verb]) {
    return STREAMING[verb](step, name, lines);
  }
  const answer = verb === 'check' ? await ANSWERING.check(step) : await ANSWERING[verb](step, name, model);
  host.output.sendLine(step.encode(answer));
  return 0;
}

async function main(args) {
  const output = new Output(1, () => guard.abandon());
  const noise = takeOver(output);
  const guard = new Guard(output, noise);
  guard.install();
  try {
    guard.leave(await work({ output, guard }, args[0], args[1], args[2]));
  } catch (error) {
    const type = failureType(error);
    noise.flush();
    guard.fail(describe(error), type);
    guard.leave(EXIT_CODES[type]);
  }
}

main(process.argv.slice(2));
