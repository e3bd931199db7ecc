'use strict';

// What a component offers beside process(): its check, its models and its hooks.

const fs = require('fs');
const path = require('path');
const { exported } = require('./component');
const { describeMetadata } = require('./describe');
const { Failure, describe, failureType, isObject } = require('./failures');
const { makeLogger } = require('./logger');
const { emitter, makeTask } = require('./task');
const { hint } = require('./near');

/** A call of such a function: it answers by value, by promise or by callback. */
class Service {
  constructor(step) {
    this.step = step;
    this.rejections = new Map();
    this.settled = false;
    this.failed = false;
    this.activity = 0;
  }

  label() {
    return 'outside of process()';
  }

  warn(text) {
    this.step.warnOnce(text);
  }

  fail(error) {
    this.reject(error);
  }

  crash(error) {
    this.reject(error);
  }

  onSettled() {}

  starve() {
    const unhandled = Array.from(this.rejections.values());
    const silent = new Failure('it never answers: neither its promise nor its callback can come');
    this.reject(unhandled.length ? unhandled[0] : silent);
  }

  expire(seconds) {
    this.reject(new Failure(`no answer within ${seconds} seconds (setting timeout)`, 'transient'));
  }

  data() {
    this.warn('It emitted data outside of process(); the data is left out.');
  }

  error(error) {
    this.reject(error);
  }

  rebound() {}

  end() {}

  /** Call a function and return its answer. `extra` are arguments after cfg; a callback comes last. */
  async ask(holder, method, extra, wantsAnswer) {
    const { step } = this;
    const logger = makeLogger(step.output, null, {});
    const answer = new Promise((resolve, reject) => {
      this.reject = reject;
      const callback = (error, result) => (error ? reject(error) : resolve(result));
      step.guard.current = this;
      const args = [step.session.cfg(step.dialect)].concat(extra, callback);
      try {
        const result = method.apply(holder || makeTask(step, logger, emitter(this)), args);
        const answered = result !== undefined && result !== null;
        if (answered || !(wantsAnswer || method.length >= args.length)) {
          Promise.resolve(result).then(resolve, reject);
        }
      } catch (error) {
        reject(error);
      }
    });
    step.idle.wait(this, step.session.limits.timeout);
    try {
      return await answer;
    } finally {
      step.guard.current = null;
    }
  }
}

function checkEvent(ok, message, type) {
  const event = { type: 'CHECK', ok, message };
  if (type) {
    event.failure_type = type;
  }
  return event;
}

function judge(result) {
  if (result === false) {
    return checkEvent(false, 'The component says that the credentials do not work.', 'config');
  }
  if (isObject(result) && 'verified' in result && !result.verified) {
    const reason = result.reason || result.details || result.message || result.error;
    const text = reason ? describe(reason) : 'The component says that the credentials do not work.';
    return checkEvent(false, text, 'config');
  }
  return checkEvent(true, 'The credentials work.');
}

/** Try the credentials with the component's verifyCredentials. */
async function check(step) {
  const file = ['verifyCredentials.js', 'verifyCredentials/index.js', 'verifyCredentials.cjs', 'verifyCredentials.mjs']
    .find((name) => fs.existsSync(path.join(step.component.folder, name)));
  if (file === undefined) {
    return checkEvent(true, 'The component has no check of its own (no verifyCredentials.js).');
  }
  step.session.fillEnvironment('verifyCredentials');
  const module = await step.component.loadFile(`./${file}`, 'the check of the credentials');
  const verify = [module].concat(['default', 'verify', 'verifyCredentials'].map((name) => exported(module, name)))
    .find((candidate) => typeof candidate === 'function');
  if (verify === undefined) {
    throw new Failure(`${file} exports no function`, 'config');
  }
  try {
    return judge(await new Service(step).ask(null, verify, [], false));
  } catch (error) {
    return checkEvent(false, describe(error), failureType(error) === 'transient' ? 'transient' : 'config');
  }
}

async function askModel(step, name, method) {
  const asked = exported(step.module, method);
  if (typeof asked !== 'function') {
    const known = Object.keys(step.module).filter((key) => typeof step.module[key] === 'function');
    throw new Failure(`${step.found.definition.main} exports no function ${method}; ${hint(method, known)}`, 'config');
  }
  try {
    return await new Service(step).ask(null, asked, [], true);
  } catch (error) {
    throw new Failure(`${method} of ${name} failed: ${describe(error)}`, failureType(error));
  }
}

/** Return the schemas of a function: asked of the component where it makes them, else as component.json has them. */
async function metamodel(step, name) {
  await step.load(name);
  if (typeof exported(step.module, 'getMetaModel') !== 'function' && !step.found.definition.dynamicMetadata) {
    return { type: 'METADATA', metadata: describeMetadata(step.component, step.found, []) };
  }
  return { type: 'METADATA', metadata: await askModel(step, name, 'getMetaModel') };
}

/** Return the options of a dropdown. */
async function select(step, name, model) {
  if (!model) {
    throw new Failure('which model? the arguments are: select FUNCTION MODEL', 'config');
  }
  await step.load(name);
  return { type: 'OPTIONS', options: await askModel(step, name, model) };
}

async function hook(step, name, method, extra, event) {
  await step.load(name);
  const asked = exported(step.module, method);
  if (typeof asked !== 'function') {
    return Object.assign(event, { data: null, missing: true });
  }
  try {
    const result = await new Service(step).ask(step.module, asked, extra, false);
    return Object.assign(event, { data: result === undefined ? null : result });
  } catch (error) {
    throw new Failure(`its ${method}() failed: ${describe(error)}`, failureType(error));
  }
}

/** Tell a trigger that its flow starts; it may subscribe to a webhook. `missing` says that it has no such hook. */
async function startup(step, name) {
  return hook(step, name, 'startup', [], { type: 'STARTUP' });
}

/** Tell a trigger that its flow stops; `state` of the CONFIG line is what startup answered. */
async function shutdown(step, name) {
  const started = step.session.state === undefined || step.session.state === null ? {} : step.session.state;
  return hook(step, name, 'shutdown', [started], { type: 'SHUTDOWN' });
}

module.exports = { check, metamodel, select, startup, shutdown };
