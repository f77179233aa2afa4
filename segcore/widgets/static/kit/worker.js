// A worker beside the page, so that the page never waits. It runs functions from their own text, which may use nothing else of
// their modules: what they call, and the plain values that they read, is given by name.

// What the worker does: keeps what comes first, then answers each message by the function of that name.
function serve(answer) {
  let [given, held] = [null, {}];
  self.onmessage = ({ data }) => {
    if (!given) {
      given = data;
      return;
    }
    try {
      self.postMessage(answer(held, given, data));
    } catch (error) {
      self.postMessage({ error: error.message });
    }
  };
}

function written(value) {
  if (ArrayBuffer.isView(value)) return `new ${value.constructor.name}([${value}])`;
  return typeof value === "function" ? String(value) : JSON.stringify(value);
}

const textOf = ([name, each]) => `const ${name} = ${written(each)};`;

// `named` are the functions and values, of which `answer(held, given, asked)` answers what is posted; `finished(found)` hears it,
// or `{ error }`. Where no worker may be made, the page computes by itself, between two frames.
export function openWorker(given, named, answer, finished) {
  try {
    const text = `${Object.entries(named).map(textOf).join("\n")}\n(${serve})(${answer});`;
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const worker = new Worker(address);
    URL.revokeObjectURL(address);
    worker.onmessage = ({ data }) => finished(data);
    worker.postMessage(given);
    return { inWorker: true, post: (asked) => worker.postMessage(asked), stop: () => worker.terminate() };
  } catch {
    const held = {};
    const answerNow = (asked) => {
      try {
        return named[answer](held, given, asked);
      } catch (error) {
        return { error: error.message };
      }
    };
    return { inWorker: false, post: (asked) => setTimeout(() => finished(answerNow(asked))), stop: () => {} };
  }
}
