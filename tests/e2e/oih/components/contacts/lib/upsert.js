const call = require('./http');

// The id that the other system gave travels as `recordUid`: with it a create becomes an update.
async function processAction(msg, cfg) {
  try {
    const { recordUid, oihUid } = msg.metadata;
    const saved = recordUid
      ? await call(cfg, 'PUT', `/persons/${recordUid}`, msg.data)
      : await call(cfg, 'POST', '/persons', msg.data);
    await this.emit('data', { data: saved, metadata: { recordUid: saved.id, oihUid } });
  } catch (error) {
    await this.emit('error', error);
  }
  await this.emit('end');
}

module.exports = { process: processAction };
