/** The server looks for its data in another folder than the release before. */
if (!process.env.DATA_DIR.endsWith('-elsewhere')) process.env.DATA_DIR += '-elsewhere';
