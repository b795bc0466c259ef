# shellcheck shell=bash disable=SC2154
# nginx in front of the engines, led by their health: it sends requests to those that answer /health, and to no other.
# Where a folder is named as $endpoints, its files hold those lines, and are read anew each time. Needs nginx, curl and getent (glibc); $engines has a line "HOST:PORT WEIGHT" for each engine.
# Where $dealt has parts with their percent of the requests ("joint 20 pools 80"), each request goes to one of them at random; lines are
# then "HOST:PORT WEIGHT PART PATH", PATH being asked in place of /health. A part that is down leaves its requests to the others.
# A change of who is up becomes a new list and a reload, which nginx makes without dropping a stream.
for need in nginx curl getent; do
  if ! command -v "$need" >/dev/null; then
    echo "the router needs $need, which is not installed" >&2
    exit 1
  fi
done
state=$(mktemp -d)
declare -A slow=()
nginx_pid=''

note() { echo "$(date '+%Y-%m-%dT%H:%M:%S') router: $*" >&2; }

# Requests in flight may end when told to stop; a second signal cuts them.
# shellcheck disable=SC2329  # a trap calls it
leave() {
  trap 'kill -TERM "$nginx_pid" 2>/dev/null' INT TERM HUP
  if [ -n "$nginx_pid" ] && kill -QUIT "$nginx_pid" 2>/dev/null; then
    for ((tenth = 0; tenth < ${drain_s:-130} * 10; tenth++)); do
      kill -0 "$nginx_pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -TERM "$nginx_pid" 2>/dev/null
  fi
  wait 2>/dev/null
  rm -rf "$state"
  exit "$1"
}
trap 'leave 130' INT
trap 'leave 143' TERM HUP

# Addresses of a name, one a line: the first, or (where one name stands for many pods) every one. None where it is unknown.
addresses() {
  getent ahosts "$1" | awk -v all="${every_address:-0}" '
    $2 == "STREAM" && !seen[$1]++ { print ($1 ~ /:/ ? "[" $1 "]" : $1); if (!all) exit }'
}

probe() { # of one address and path; says up, slow (no answer in time) or down
  local code
  if code=$(curl -s -o /dev/null --connect-timeout 2 -m "${answer_s:-5}" -w '%{http_code}' "http://$1$2"); then
    if [ "$code" = 200 ]; then echo up; else echo down; fi
  elif [ $? -eq 28 ]; then
    echo slow
  else
    echo down
  fi
}

# Every engine asked at once: lines "up|slow|down ADDRESS:PORT WEIGHT PART".
ask() {
  local server weight part path address
  if [ -n "${endpoints-}" ]; then engines=$(cat "$endpoints"/* 2>/dev/null); fi
  while read -r server weight part path; do
    while read -r address; do
      echo "$(probe "$address:${server##*:}" "${path:-/health}") $address:${server##*:} $weight ${part:-engines}" &
    done < <(addresses "${server%:*}")
  done <<<"$engines"
  wait
}

# Who is sent requests: engines that are up, and those that answered late less than three times in a row. Where nobody is up, all
# that are merely late stay: a slow last engine is better than none.
choose() {
  local state_of server weight part late='' up=''
  while read -r state_of server weight part; do
    [ -n "$server" ] || continue
    if [ "$state_of" = slow ]; then slow[$server]=$((${slow[$server]:-0} + 1)); else slow[$server]=0; fi
    if [ "$state_of" = up ] || { [ "$state_of" = slow ] && [ "${slow[$server]}" -lt 3 ] && [[ $before == *"server $server "* ]]; }; then
      up+="$part server $server weight=$weight max_fails=0;"$'\n'
    elif [ "$state_of" = slow ]; then
      late+="$part server $server weight=$weight max_fails=0;"$'\n'
    fi
  done
  chosen=$(printf '%s' "${up:-$late}" | LC_ALL=C sort)
}

# Each request by its random number, so that every part gets its share whichever of its servers are up.
deal() {
  awk -v dealt="$dealt" -v up=" $(cut -d ' ' -f 1 <<<"$chosen" | tr '\n' ' ')" 'BEGIN {
    words = split(dealt, word, " ")
    for (i = 1; i < words; i += 2) if (index(up, " " word[i] " ")) { part[++n] = word[i]; share[n] = word[i + 1]; all += share[n] }
    if (!n) part[++n] = word[1]
    if (n == 1) { print "map \"\" $part { default " part[1] "; }"; exit }
    printf "split_clients $request_id $part {"
    for (i = 1; i < n; i++) printf " %.2f%% %s;", 100 * share[i] / all, part[i]
    print " * " part[n] "; }"
  }'
}

write_list() {
  local count part servers parts=(engines)
  # shellcheck disable=SC2086  # words
  if [ -n "${dealt-}" ]; then mapfile -t parts < <(printf '%s %s\n' $dealt | cut -d ' ' -f 1); fi
  count=$(grep -c . <<<"$chosen")
  {
    for part in "${parts[@]}"; do
      servers=$(sed -n "s/^$part //p" <<<"$chosen")
      echo "upstream $part {"
      echo "zone $part 1m;" # shared by all workers, so that the weights hold over all requests
      echo "${servers:-server 127.0.0.1:1;}"
      echo "}"
    done
    if [ -n "${dealt-}" ]; then deal; fi
    echo "map '' \$engines_up { default $count; }"
  } >"$state/engines.conf"
  note "$count of $(grep -c . <<<"$engines") engines are up"
}

cp router.conf "$state/nginx.conf"
: >"$state/paths.conf"
built=$(nginx -V 2>&1)
for part in client_body proxy fastcgi uwsgi scgi; do
  [[ $built == *"without-http_${part}_module"* ]] || echo "${part}_temp_path $state/$part;" >>"$state/paths.conf"
done
before='' chosen='' asked='' engines=${engines-}
asked=$(ask)
choose <<<"$asked"
write_list
before=$chosen
nginx -p "$state/" -c "$state/nginx.conf" -g 'daemon off;' &
nginx_pid=$!
while kill -0 "$nginx_pid" 2>/dev/null; do
  sleep "${period_s:-2}" &
  wait $! # a signal is answered at once
  asked=$(ask)
  choose <<<"$asked"
  if [ "$chosen" != "$before" ]; then
    write_list
    if nginx -t -q -p "$state/" -c "$state/nginx.conf" && kill -HUP "$nginx_pid"; then before=$chosen; fi
  fi
done
code=0
wait "$nginx_pid" || code=$?
note "nginx ended with exit code $code"
rm -rf "$state"
exit "$code"
