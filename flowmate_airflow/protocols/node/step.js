'use strict';

// What all calls of one run share.

const { encode } = require('./encode');
const { Idle } = require('./idle');
const { Snapshot } = require('./snapshot');

const MAX_WARNINGS = 100;

class Step {
  constructor(host, session, component, sdk) {
    this.output = host.output;
    this.guard = host.guard;
    this.session = session;
    this.component = component;
    this.dialect = sdk.dialect;
    this.id = session.context.step || 'step';
    this.snapshot = new Snapshot(host.output, session.state);
    this.idle = new Idle(session.limits.idle_grace, () => this.warnOnce(
      'The component keeps something open (a connection, an interval); its calls are taken as over when it is quiet.',
    ));
    this.late = []; // errors after their call was over
    this.said = new Map();
    this.found = null;
    this.module = null;
    this.keepsPassthrough = false;
    this.returnsRows = false; // an array that is returned is a list of rows, not one message
  }

  async load(name) {
    this.found = this.component.find(name);
    this.session.fillEnvironment(name);
    this.keepsPassthrough = Boolean(this.session.nodeSettings().passthrough);
    this.module = await this.component.load(this.found);
  }

  /** Log a warning, but each only once, and not without end. */
  warnOnce(text) {
    const count = (this.said.get(text) || 0) + 1;
    if (count === 1 && this.said.size >= MAX_WARNINGS) {
      return;
    }
    this.said.set(text, count);
    if (count === 1) {
      this.output.log('warning', text);
    }
  }

  /** Say how often each warning came, where it was more than once. */
  summarise() {
    this.said.forEach((count, text) => {
      if (count > 1) {
        this.output.log('warning', `${text} (${count} times)`);
      }
    });
  }

  encode(value) {
    return encode(value, (text) => this.warnOnce(text));
  }
}

module.exports = { Step };
