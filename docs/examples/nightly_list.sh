#!/usr/bin/env bash
# Keep a list in git in step with a data-ID set, and propose what changed for review.
#
#   nightly_list.sh SET FILE
#
# Run it in a clone of the repository that keeps the list. ANNOLOG_URL and ANNOLOG_TOKEN
# say where annolog is and who calls. MAIN is the branch that holds the list (main).
# PROPOSE is your forge's command that opens a pull request; it gets the branch's name.
# Nothing is committed, pushed or proposed on a night on which the list stays the same. A
# proposal that is outdated by then is taken back: its branch is deleted, which closes it.
set -euo pipefail

set_name=$1
file=$2
main=${MAIN:-main}
branch=annolog/$set_name

git fetch --quiet --prune origin
git switch --quiet --force-create "$branch" "origin/$main"

# The recipe of the newest version, as of now. A new version only if it gives other rows.
annolog dataidset build "$set_name" --reason "nightly"
told=$(annolog dataidset download "$set_name" -o "$file")

git add -- "$file"
if git diff --cached --quiet; then
    echo "$set_name: the list in git is up to date"
    if git rev-parse --quiet --verify "refs/remotes/origin/$branch" >/dev/null; then
        # Merged later, it would bring back what was undone since.
        git push --quiet origin --delete "$branch"
        echo "$set_name: deleted the branch $branch, which is merged or outdated"
    fi
    exit 0
fi
git commit --quiet --message "Update ${file##*/}" --message "$told"
if git diff --quiet HEAD "origin/$branch" 2>/dev/null; then
    echo "$set_name: proposed already"
    exit 0
fi
git push --quiet --force origin "$branch"
git diff --stat "origin/$main" HEAD
if [[ -n ${PROPOSE:-} ]]; then
    $PROPOSE "$branch"
fi
