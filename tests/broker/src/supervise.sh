# supervise.sh FOLDER COMMAND...: runs a broker on orders from standard input, and answers each of them with a line.
# When the input ends, because whoever gave the orders is gone, however that came about, the broker and its folder go too.
folder=$1
shift
broker=
while read -r order; do
    case $order in
    start)
        "$@" >>"$folder/broker.log" 2>&1 </dev/null &
        broker=$!
        ;;
    kill)
        kill -9 "$broker"
        wait "$broker" 2>/dev/null
        broker=
        ;;
    esac
    echo "$order"
done
[ -n "$broker" ] && kill -9 "$broker" && wait "$broker" 2>/dev/null
rm -rf "$folder"
