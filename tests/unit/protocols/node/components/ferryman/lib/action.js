const call = require('./http');

async function processAction(msg, cfg) {
  try {
    const saved = await call(cfg, 'PUT', `/persons/${msg.metadata.recordUid || 'new'}`, msg.data);
    const { oihUid } = msg.metadata;
    this.emit('data', { data: saved, metadata: { oihUid, recordUid: saved.id } });
  } catch (error) {
    if (error.statusCode === 409) {
      this.emit('rebound', 'locked');
    } else {
      this.emit('error', error);
    }
  }
  this.emit('end');
}

module.exports.process = processAction;
