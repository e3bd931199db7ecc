'use strict';

// What the host tells about this run: the CONFIG line, and the fresh copies of it that a component may change.

const { Failure, isObject } = require('./failures');
const { encode } = require('./encode');

const DEFAULTS = { timeout: 0, rebound_initial: 15, rebound_limit: 20, rebound_max: 900, idle_grace: 5 };

function objectOf(line, key) {
  const value = line[key] === undefined || line[key] === null ? {} : line[key];
  if (!isObject(value) || Array.isArray(value)) {
    throw new Failure(`\`${key}\` of the CONFIG line must be an object`, 'config');
  }
  return value;
}

// Nothing of the line may get into a message: it holds credentials.
function parseConfigLine(text) {
  let line = null;
  try {
    line = JSON.parse(text);
  } catch (error) {
    line = null;
  }
  if (!isObject(line) || line.type !== 'CONFIG') {
    const found = text === null ? 'the input is empty' : 'it is another';
    throw new Failure(`the first line of the input must be a CONFIG line: ${found}`, 'config');
  }
  return line;
}

function numbers(settings) {
  const result = {};
  Object.keys(DEFAULTS).forEach((key) => {
    const value = settings[key] === undefined || settings[key] === null ? DEFAULTS[key] : settings[key];
    if (typeof value !== 'number' || !(value >= 0)) {
      throw new Failure(`setting ${key} must be a number of 0 or more`, 'config');
    }
    result[key] = value;
  });
  return result;
}

class Session {
  constructor(text) {
    const line = parseConfigLine(text);
    this.context = objectOf(line, 'context');
    this.settings = objectOf(this.context, 'settings');
    this.limits = numbers(this.settings);
    this.config = JSON.stringify(objectOf(line, 'config'));
    this.credentials = JSON.stringify(objectOf(line, 'credentials'));
    this.state = line.state;
    this.moreNodeSettings = {};
  }

  fields() {
    return JSON.parse(this.config);
  }

  nodeSettings() {
    const own = this.fields().nodeSettings;
    const given = objectOf(this.settings, 'node_settings');
    return JSON.parse(JSON.stringify(Object.assign({}, isObject(own) ? own : {}, given, this.moreNodeSettings)));
  }

  /** Return a fresh `cfg`: the step's fields with the credentials on top. */
  cfg(dialect) {
    const cfg = this.fields();
    if (dialect !== 'sailor') {
      cfg.nodeSettings = this.nodeSettings();
    }
    return Object.assign(cfg, JSON.parse(this.credentials));
  }

  /** Take over credentials that the component renewed, for the messages that follow. */
  updateCredentials(keys, warn) {
    this.credentials = encode(Object.assign(JSON.parse(this.credentials), keys), warn);
  }

  /** Return a fresh `tokenData`, ferryman's fifth argument. */
  tokenData(name) {
    const { context } = this;
    return {
      function: name,
      flowId: context.flow,
      stepId: context.step,
      flowExecId: context.run_id,
      userId: this.settings.user || '',
      tenant: this.settings.tenant || '',
      fields: this.fields(),
      nodeSettings: this.nodeSettings(),
      specialFlags: {},
    };
  }

  variables() {
    return JSON.parse(JSON.stringify(objectOf(this.settings, 'variables')));
  }

  /** Return what `this.getConfig()` answers: the settings that the SDKs read from the environment. */
  sdkSettings(name) {
    const { context } = this;
    return {
      FLOW_ID: context.flow || '',
      STEP_ID: context.step || '',
      EXEC_ID: context.run_id || '',
      FUNCTION: name || '',
      TENANT_ID: this.settings.tenant || '',
      USER_ID: this.settings.user || '',
      REBOUND_INITIAL_EXPIRATION: this.limits.rebound_initial * 1000,
      REBOUND_LIMIT: this.limits.rebound_limit,
    };
  }

  /** Put the ids of this run where components look for them, unless the image sets them. */
  fillEnvironment(name) {
    const settings = this.sdkSettings(name);
    ['FLOW_ID', 'STEP_ID', 'EXEC_ID', 'FUNCTION', 'TENANT_ID', 'USER_ID'].forEach((key) => {
      const variable = `ELASTICIO_${key}`;
      if (process.env[variable] === undefined && settings[key]) {
        process.env[variable] = String(settings[key]);
      }
    });
    const { webhook } = this.context; // of a startup or shutdown: the address that a trigger registers
    if (isObject(webhook) && webhook.url) {
      process.env.ELASTICIO_FLOW_WEBHOOK_URI = String(webhook.url);
    }
  }
}

module.exports = { Session };
