'use strict';

// `this` of a component's function.

const { Failure, isObject } = require('./failures');

function unavailable(name, what) {
  return () => {
    throw new Failure(`this.${name}() is not available here: ${what}`, 'config');
  };
}

function reply(step, payload) {
  const given = isObject(payload) ? payload : { body: payload };
  const answer = { statusCode: given.statusCode || 200, body: given.body, headers: given.headers || {} };
  step.output.sendLine(`{"type":"REPLY","reply":${step.encode(answer)}}`);
}

function updateKeys(step, payload) {
  if (!isObject(payload) || Array.isArray(payload)) {
    throw new Failure('it emitted updateKeys with something that is no object');
  }
  step.session.updateCredentials(payload, (text) => step.warnOnce(text));
  step.output.sendLine(`{"type":"CREDENTIALS","credentials":${step.encode(payload)}}`);
}

const EVENTS = {
  data: (call, payload) => call.data(payload),
  error: (call, payload) => call.error(payload),
  rebound: (call, payload) => call.rebound(payload),
  end: (call) => call.end(),
  snapshot: (call, payload) => call.step.snapshot.replace(payload, (text) => call.warn(text)),
  updateSnapshot: (call, payload) => call.step.snapshot.update(payload, (text) => call.warn(text)),
  updateKeys: (call, payload) => updateKeys(call.step, payload),
  httpReply: (call, payload) => reply(call.step, payload),
};

function emitter(call) {
  return function emit(name, payload) {
    if (!Object.prototype.hasOwnProperty.call(EVENTS, name)) {
      call.step.output.log('debug', `The component emitted ${String(name)}, which nobody listens to.`);
      return Promise.resolve(false);
    }
    try {
      EVENTS[name](call, payload);
    } catch (error) {
      call.fail(error);
      const refused = Promise.reject(error);
      refused.catch(() => {}); // many do not wait for emit; the call has failed already
      return refused;
    }
    return Promise.resolve(true);
  };
}

/** Return the `this` of one call. */
function makeTask(step, logger, emit) {
  const variables = step.session.variables();
  return {
    logger,
    emit,
    getConfig: () => step.session.sdkSettings(step.found && step.found.name),
    getFlowVariables: () => variables,
    getApiClient: unavailable('getApiClient', 'there is no elastic.io platform behind this component'),
    __getAmqp: unavailable('__getAmqp', 'no message queue is used'),
  };
}

module.exports = { makeTask, emitter };
